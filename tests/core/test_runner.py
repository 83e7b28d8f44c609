"""The runner image is known by its repository, wherever it comes from and however it is pinned."""

import pytest

from reconciler.core.runner import is_runner

DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    "image",
    [
        "catwalk-runner",
        "registry.fly.io/catwalk-runner:0.1.0",
        f"localhost:5000/acme/catwalk-runner:0.1.0{DIGEST}",
        f"ghcr.io/acme/catwalk-runner{DIGEST}",
    ],
)
def test_the_runner_is_recognised(image: str) -> None:
    assert is_runner(image)


@pytest.mark.parametrize(
    "image",
    [
        "",
        "ghcr.io/catwalk-runner/search:1",
        "ghcr.io/acme/my-catwalk-runner:1",
        "localhost:5000/acme/search:catwalk-runner",
    ],
)
def test_other_images_are_not(image: str) -> None:
    assert not is_runner(image)

"""What every test shares: the asyncio backend, a clean environment, and the outside test data where it is present."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Machines differ in speed: an example that takes long is no failure. Runs are repeatable.
settings.register_profile("catwalk", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("catwalk")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Settings of the person who runs the tests must not reach the code under test.
_FOREIGN_SETTINGS = (
    "FLY_API_TOKEN",
    "GITHUB_TOKEN",
    "SOPS_AGE_KEY",
    "SOPS_AGE_KEY_FILE",
    "CATWALK_STATE_DIR",
    "CATWALK_REPO_URL",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Opens the network for tests that are marked to talk to a registry, and for those alone."""
    for item in items:
        if item.get_closest_marker("registry") is not None:
            item.add_marker(pytest.mark.enable_socket)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in _FOREIGN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return


@pytest.fixture
def shared_data() -> Path:
    """The folder of outside test data beside the checkout; a test that needs it is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the outside test data (../shared/data) is not here")
    return SHARED_DATA

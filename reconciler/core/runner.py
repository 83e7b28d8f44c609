"""By what the runner image is known: the one image whose entrypoint is the adapter.

It may be pulled from anywhere and be pinned in any way; the last component of its repository's name says what it is.
"""

from typing import Final

RUNNER_IMAGE_NAME: Final = "catwalk-runner"


def is_runner(image: str) -> bool:
    """Whether machines of this image run the adapter. Takes a reference with or without tag and digest."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return name == RUNNER_IMAGE_NAME

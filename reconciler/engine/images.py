"""Image references, taken apart the way a registry client does: `[registry/]repository[:tag][@digest]`."""

import hashlib
from dataclasses import dataclass

DEFAULT_REGISTRY = "registry-1.docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """The last path component of the repository, which is how the engine knows an image."""
        return self.repository.rpartition("/")[2]


def parse(image: str) -> ImageReference:
    rest, _, digest = image.partition("@")
    head, slash, tail = rest.rpartition("/")
    last, _, tag = tail.partition(":")
    path = f"{head}{slash}{last}"
    first, separator, others = path.partition("/")
    if separator and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, others
    else:
        registry, repository = DEFAULT_REGISTRY, path
    stand_in = f"sha256:{hashlib.sha256(rest.encode()).hexdigest()}"
    return ImageReference(registry=registry, repository=repository, tag=tag or "latest", digest=digest or stand_in)

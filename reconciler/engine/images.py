"""Image references, taken apart the way a registry client does: `[registry/]repository[:tag][@digest]`.

No registry is asked. The digest of a tag is worked out from its name and from how often somebody moved it, so that an
image that is pushed again under its tag can be played.
"""

import hashlib
from collections import Counter
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


class ImageTags:
    """What tags stand for. It may outlive an engine; tags that nobody moved need no entry."""

    def __init__(self) -> None:
        self._moves: Counter[str] = Counter()

    def move(self, image: str) -> str:
        """Plays a push under a tag that exists: from now on `image` stands for the digest that is returned.

        Raises:
            ValueError: it is pinned by a digest, which never moves.
        """
        if "@" in image:
            raise ValueError("a digest does not move")
        self._moves[_tagged(image)] += 1
        return self.digest(image)

    def digest(self, image: str) -> str:
        """What an image is at this moment."""
        reference = parse(image)
        moves = self._moves[_tagged(image)]
        if "@" in image or not moves:
            return reference.digest
        return f"sha256:{hashlib.sha256(f'{reference.digest} {moves}'.encode()).hexdigest()}"


def _tagged(image: str) -> str:
    reference = parse(image)
    return f"{reference.registry}/{reference.repository}:{reference.tag}"


def parse(image: str) -> ImageReference:
    """The parts of a reference. Without a digest it gets the one that its tag began with."""
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

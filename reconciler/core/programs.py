"""What a server runs where it is no package of a registry, and the files that it finds in its machine.

Each names one fixed thing: a commit, the content of a folder, an image. None of them holds a secret: a file made of one
names it.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from reconciler.core.secret import SecretValue

FILE_PREFIX: Final = "CATWALK_FILE_"
"""How the app secret of a file is called. The adapter keeps variables of this name from the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitProgram:
    """A project in another git repository. An empty `runtime` is found out from the project's files."""

    url: str
    commit: str
    runtime: str = ""
    directory: str = ""

    def __str__(self) -> str:
        inside = f"//{self.directory}" if self.directory else ""
        return f"git:{self.url}{inside}@{self.commit[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderProgram:
    """A folder of the repository that the manifest stands in, with all that is in it at the revision."""

    path: str
    """Relative to the followed directory."""
    digest: str
    """Of names and contents, so that folders of the same content are the same program."""
    archive: str = field(repr=False)
    """All of it, packed by `reconciler.core.archive`."""

    def __str__(self) -> str:
        return f"directory:{self.path}@{self.digest[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgram:
    """A container image that serves MCP over HTTP by itself."""

    reference: str

    def __str__(self) -> str:
        return f"image:{self.reference}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedFile:
    """One file of a machine: either its content, or the name of the secret that is its content."""

    path: str
    """Absolute, or below `~/`."""
    mode: int
    content: str = ""
    secret: str = ""

    @property
    def app_secret(self) -> str:
        """The name under which the secret lies at the app, Base64 encoded as Fly asks for; empty for a plain file."""
        return FILE_PREFIX + self.secret if self.secret else ""


def app_secret_names(secrets: Iterable[str], files: Iterable[PlacedFile]) -> tuple[str, ...]:
    """The secrets of an app by the names that they have there, sorted: what is delivered as a file is no variable."""
    filed = {file.secret: file.app_secret for file in files if file.secret}
    return tuple(sorted(filed.get(name, name) for name in secrets))


def declared_name(app_secret: str) -> str:
    """The name in the manifest of a secret of an app."""
    return app_secret.removeprefix(FILE_PREFIX)


def app_secret_value(app_secret: str, value: SecretValue) -> SecretValue:
    """What the app keeps under that name: a secret that becomes a file is Base64 (OpenAPI document, `fly.File`)."""
    if not app_secret.startswith(FILE_PREFIX):
        return value
    return SecretValue(base64.standard_b64encode(value.reveal().encode("utf-8")).decode("ascii"))

"""Where a server's program comes from, if not from a package registry, and the files that it is given.

A source outside of the registries is pinned by what it says and not by a name that moves: a commit, a digest, or the
revision of the repository that the manifest itself stands in.
"""

import re
from typing import Annotated, Final, Literal, LiteralString

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.v1.part import NotNull, Part, without_default, without_null
from schemas.v1.terms import Term, Text, Variable, published

GIT_URL_PATTERN: Final = (
    r"^(?:https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/[^\s?#@]+"
    r"|ssh://(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+(?::[0-9]{1,5})?/[^\s?#]+"
    r"|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s?#:][^\s?#]*)$"
)
COMMIT_PATTERN: Final = "^[0-9a-f]{40}$"
FOLDER_PATTERN: Final = r"^(?:\./)?(?!\.{1,2}(?:/|$))[^/\s\\][^/\\]*(?:/(?!\.{1,2}(?:/|$))[^/\\]+)*/?$"
"""A folder below another one, `/`-separated, that leads nowhere else."""
IMAGE_PATTERN: Final = (
    r"^(?:(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.[a-z0-9.-]+|localhost)(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?$"
)
"""An image reference (distribution specification, "Pulling manifests"): registry, repository, tag, digest."""
FILE_PATH_PATTERN: Final = r"^(?:~|)(?:/(?!\.{1,2}(?:/|$))[^/\x00]+)+$"
MODE_PATTERN: Final = "^0?[0-7]{3}$"
RESERVED_FOLDERS: Final = ("/proc", "/sys", "/dev", "/.fly", "/.catwalk")
"""Folders of a machine that belong to the kernel, to Fly and to Catwalk."""
DEFAULT_MODE: Final = "0400"


def _refuse(code: LiteralString, message: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError(code, "{text}", {"text": message, "hint": hint})


def _check_git_url(value: str) -> str:
    if re.match(r"^https://[^/]*@", value):
        raise _refuse(
            "bad-git-url",
            "holds a name or a password",
            "treat it as leaked; private repositories are opened by a file such as `~/.netrc` or `~/.ssh/id_ed25519`",
        )
    if not re.fullmatch(GIT_URL_PATTERN, value):
        raise _refuse(
            "bad-git-url",
            "is no git address that is fetched from",
            "write `https://HOST/PATH` or `ssh://git@HOST/PATH`",
        )
    return value


def _check_commit(value: str) -> str:
    if not re.fullmatch(COMMIT_PATTERN, value):
        raise _refuse(
            "bad-commit",
            "must be a whole commit: 40 lower-case hexadecimal digits",
            "branches, tags and short commits may move or clash; `git rev-parse HEAD` prints it",
        )
    return value


def _check_folder(value: str) -> str:
    if not re.fullmatch(FOLDER_PATTERN, value):
        raise _refuse("bad-directory", "must be a folder below this one", "write it as `./servers/notes`, without `..`")
    return value


def _check_image(value: str) -> str:
    if not re.fullmatch(IMAGE_PATTERN, value):
        raise _refuse("bad-image", "is no image reference", "write `ghcr.io/acme/search-mcp@sha256:…`, in lower case")
    return value


def _check_file_path(value: str) -> str:
    if not re.fullmatch(FILE_PATH_PATTERN, value):
        raise _refuse(
            "bad-file-path",
            "must be the absolute path of a file, or one below `~/`",
            "write it as `~/.ssh/id_ed25519` or `/etc/app/key.json`, without `..`",
        )
    if any(value == folder or value.startswith(f"{folder}/") for folder in RESERVED_FOLDERS):
        raise _refuse(
            "bad-file-path",
            f"lies in a folder that is not the server's: {', '.join(RESERVED_FOLDERS)}",
            "choose another one, such as `~/`",
        )
    return value


def _check_mode(value: str) -> str:
    if not re.fullmatch(MODE_PATTERN, value):
        raise _refuse("bad-mode", "is no file mode", 'write three octal digits in quotes, such as `"0400"`')
    return value


GitUrl = Annotated[
    Term,
    AfterValidator(_check_git_url),
    published(GIT_URL_PATTERN),
]
Commit = Annotated[
    Term,
    AfterValidator(_check_commit),
    published(COMMIT_PATTERN),
]
Folder = Annotated[
    Term,
    AfterValidator(_check_folder),
    published(FOLDER_PATTERN),
]
Image = Annotated[
    Term,
    AfterValidator(_check_image),
    published(IMAGE_PATTERN),
]
FilePath = Annotated[
    Term,
    AfterValidator(_check_file_path),
    published(FILE_PATH_PATTERN),
]
Mode = Annotated[
    Term,
    AfterValidator(_check_mode),
    published(MODE_PATTERN),
]


class Git(Part):
    """A project in another git repository, at one commit."""

    url: GitUrl = Field(
        title="Address",
        description="Address of the repository, `https://…` or `ssh://…`, without credentials. A private one is opened "
        "by a file of the server such as `~/.netrc` or `~/.ssh/id_ed25519`.",
        examples=["https://github.com/acme/wiki-mcp"],
    )
    commit: Commit = Field(
        title="Commit",
        description="The commit that runs, 40 hexadecimal digits. Branches and tags move and are refused.",
        examples=["8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e"],
    )
    runtime: Annotated[Literal["python", "node"] | None, NotNull] = Field(
        default=None,
        json_schema_extra=without_null,
        title="Runtime",
        description="What the project is written for. Without it: `node` where there is a `package.json`, `python` "
        "where there is a `pyproject.toml`, `setup.py` or `requirements.txt`.",
        examples=["python", "node"],
    )
    directory: Folder = Field(
        default="",
        json_schema_extra=without_default,
        title="Directory",
        description="The folder of the repository that holds the project; its root if not given.",
        examples=["server"],
    )


class PlacedFile(Part):
    """One file that a server finds in its machine, for credentials that are no variables."""

    model_config = Part.model_config | {
        "json_schema_extra": {"oneOf": [{"required": ["content"]}, {"required": ["secret"]}]}
    }

    content: Text = Field(
        default="",
        title="Content",
        description="The content, for a file that everybody may read.",
        examples=['{"project": "acme"}\n'],
    )
    secret: Variable = Field(
        default="",
        json_schema_extra=without_default,
        title="Secret",
        description="Name of the entry of `secrets` that is the content. It reaches the server as this file and no "
        "longer as a variable.",
        examples=["GOOGLE_KEY"],
    )
    mode: Mode = Field(
        default=DEFAULT_MODE,
        title="Mode",
        description="Permissions in octal digits, in quotes. The file belongs to the user that runs the server.",
        examples=["0400", "0644"],
    )

    @model_validator(mode="after")
    def _one_content(self) -> "PlacedFile":
        stated = self.model_fields_set & {"content", "secret"}
        if len(stated) != 1:
            word = "both `content` and `secret`" if stated else "neither `content` nor `secret`"
            raise _refuse("bad-file", f"has {word}", "state exactly one of the two")
        return self

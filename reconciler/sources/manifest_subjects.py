"""By which names the patterns of a policy know the program of a server.

One program can be written in many ways: `pypi:Some_Package` and `pypi:some-package`, `https://github.com/acme/x.git`
and `git@github.com:acme/x`, `nginx` and `docker.io/library/nginx`. A pattern that denies one of them must fit them all,
so names and patterns are compared as they are written and in one common form.
"""

import re
from fnmatch import fnmatchcase
from typing import Final

from reconciler.sources.manifest_servers import ReadServer
from schemas.v1.terms import package_parts

_DOCKER_HUB: Final = "docker.io"
_HUB_ALIASES: Final = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})


def subjects(server: ReadServer) -> tuple[str, ...]:
    """The names of its program, without and with the version; none for a folder of the own repository."""
    written = server.written
    if written.git is not None:
        return f"git:{written.git.url}", f"git:{written.git.url}@{written.git.commit}"
    if written.image:
        return f"image:{_repository(written.image)}", f"image:{written.image}"
    if written.remote is not None:
        return (f"remote:{written.remote.url}",)
    if written.package:
        parts = package_parts(written.package)
        return f"{parts.registry}:{parts.name}", written.package
    return ()


def fits(names: tuple[str, ...], pattern: str) -> bool:
    """Whether a pattern (`*` and `?` as in a shell) fits one of the names of a program."""
    common = common_form(pattern)
    return any(fnmatchcase(name, pattern) or fnmatchcase(common_form(name), common) for name in names)


def common_form(name: str) -> str:
    """One form for all ways of writing the same program. Patterns keep their signs."""
    kind, colon, rest = name.partition(":")
    match kind:
        case "pypi":
            return f"{kind}:{_python_name(rest)}"
        case "git":
            return f"{kind}:{_address(rest)}"
        case "image":
            return f"{kind}:{_image(rest)}"
        case _:
            return f"{kind}{colon}{rest}".lower()


def _python_name(rest: str) -> str:
    """PEP 503: case, and which of `-`, `_` and `.` stand between the parts, make no difference."""
    package, at, version = rest.partition("@")
    return re.sub(r"[-_.]+", "-", package).lower() + at + version.lower()


def _address(rest: str) -> str:
    """`HOST/PATH` without scheme, user and `.git`."""
    bare = re.sub(r"^(?:https|ssh)://", "", rest)
    bare = re.sub(r"^[^/@:]+@(?=[^/]+[:/])", "", bare)
    host, *path = re.split(r"[:/]", bare, maxsplit=1)
    return "/".join([host.lower(), *(re.sub(r"\.git(?=@|$)", "", part.rstrip("/")) for part in path)])


def _image(rest: str) -> str:
    first, slash, others = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return f"{_DOCKER_HUB if first in _HUB_ALIASES else first}/{others}"
    return f"{_DOCKER_HUB}/{rest}" if slash else f"{_DOCKER_HUB}/library/{rest}"


def _repository(image: str) -> str:
    named = image.partition("@")[0]
    last = named.rpartition("/")[2]
    return named[: len(named) - len(last)] + last.partition(":")[0]

"""The command line of the adapter."""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TypedDict

from gateway.adapter.child import DEFAULT_MESSAGE_BYTES
from gateway.adapter.package import BadPackage, PackageRef, parse_package
from gateway.adapter.placed_files import FileOrder
from gateway.adapter.projects import BadProject, Project, is_project, parse_project

LATEST = "latest"
PUBLISHED = "published"
_PROGRAMS = "-- npm:NAME@VERSION, -- pypi:NAME@VERSION, -- git:ADDRESS@COMMIT"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T[0-9:.]+(Z|[+-]\d{2}:\d{2}))?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha\d+-[A-Za-z0-9+/]+={0,2}(?: sha\d+-[A-Za-z0-9+/]+={0,2})*")


class SessionMode(Enum):
    """Whether legacy sessions share one server process.

    `auto` shares it among clients that cannot be asked anything (no elicitation, sampling or roots) and gives every
    other client a process of its own, because a question of the server can only be attributed there.
    """

    AUTO = "auto"
    SHARED = "shared"
    ISOLATED = "isolated"


class Transport(Enum):
    """How the server itself speaks. The value is the official registry's name."""

    STDIO = "stdio"
    STREAMABLE_HTTP = "streamable-http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one adapter is told. Exactly one of `package`, `project` and `command` is set; `arguments` follow the first
    two.

    `program` is what runs in the package's environment in place of one of its executables, empty for an executable.
    """

    host: str
    port: int
    workdir: Path | None
    cache_dir: Path
    resolve_as_of: str
    entrypoint: str | None
    program: tuple[str, ...]
    package: PackageRef | None
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    transport: Transport
    server_port: int
    server_path: str
    sessions: SessionMode
    max_children: int
    max_children_per_principal: int
    max_sessions: int
    max_sessions_per_principal: int
    max_calls: int
    max_calls_per_principal: int
    max_message_bytes: int
    max_call_s: float
    session_idle_s: float
    allowed_origins: frozenset[str]
    linger_s: float
    project: Project | None = None
    """In place of a package; what follows it is as with a package."""
    runtime: str | None = None
    directory: str = ""
    files: tuple[FileOrder, ...] = ()
    integrity: tuple[str, ...] = ()
    """Digests, one of which the package's own file must have; none where nothing is locked."""


class _ProjectFields(TypedDict):
    project: Project
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    runtime: str | None
    directory: str


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line; ends the process with status 2 and a usage text when it is wrong."""
    parser = _parser()
    own, trailing = _split(arguments)
    parsed = parser.parse_args(own)
    if not trailing:
        parser.error(f"nothing to run: give {_PROGRAMS}, or --exec -- COMMAND")
    if parsed.program and (parsed.local or parsed.entrypoint):
        parser.error("--command replaces an executable of a package: it goes neither with --exec nor with --entrypoint")
    if parsed.local:
        return _options(parsed, package=None, command=trailing)
    try:
        if is_project(trailing[0]):
            return replace(_options(parsed, package=None, command=trailing), **_project(parsed, trailing))
        package = parse_package(trailing[0])
    except (BadPackage, BadProject) as error:
        parser.error(str(error))
    return _options(parsed, package=package, command=trailing)


def _project(parsed: argparse.Namespace, trailing: tuple[str, ...]) -> "_ProjectFields":
    return _ProjectFields(
        project=parse_project(trailing[0]),
        command=(),
        arguments=trailing[1:],
        runtime=parsed.runtime,
        directory=parsed.directory,
    )


def _split(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    if "--" not in arguments:
        return list(arguments), ()
    place = list(arguments).index("--")
    return list(arguments[:place]), tuple(arguments[place + 1 :])


def _options(parsed: argparse.Namespace, *, package: PackageRef | None, command: tuple[str, ...]) -> Options:
    return Options(
        host=parsed.host,
        port=parsed.port,
        workdir=parsed.workdir,
        cache_dir=parsed.cache_dir,
        resolve_as_of=parsed.resolve_as_of,
        entrypoint=parsed.entrypoint,
        program=tuple(parsed.program),
        package=package,
        command=() if package else command,
        arguments=command[1:] if package else (),
        transport=Transport(parsed.transport),
        server_port=parsed.server_port,
        server_path=parsed.server_path,
        sessions=SessionMode(parsed.sessions),
        max_children=parsed.max_children,
        max_children_per_principal=parsed.max_children_per_principal,
        max_sessions=parsed.max_sessions,
        max_sessions_per_principal=parsed.max_sessions_per_principal,
        max_calls=parsed.max_calls,
        max_calls_per_principal=parsed.max_calls_per_principal,
        max_message_bytes=parsed.max_message_bytes,
        max_call_s=parsed.max_call_seconds,
        session_idle_s=parsed.session_idle,
        allowed_origins=frozenset(parsed.allow_origin),
        linger_s=parsed.linger,
        files=tuple(_file(*words) for words in parsed.files),
        integrity=tuple(parsed.integrity),
    )


def _file(target: str, mode: str, staged: str) -> FileOrder:
    return FileOrder(target=target, mode=int(mode, 8), staged=staged)


def _digest(text: str) -> str:
    if _DIGEST.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no digest of a package's file")


def _resolve_date(text: str) -> str:
    if text in {LATEST, PUBLISHED} or _DATE.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither latest, published nor a date such as 2026-01-31")


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "catwalk"


def _add_program_options(parser: argparse.ArgumentParser) -> None:
    """What runs, and what it needs before it does."""
    add = parser.add_argument
    add(
        "--resolve-as-of",
        type=_resolve_date,
        default=PUBLISHED,
        help="date for dependencies: published, latest, a date",
    )
    add(
        "--integrity",
        action="append",
        default=[],
        type=_digest,
        metavar="DIGEST",
        help="a digest that the package's file may have (sha512-… for npm, sha256:… for PyPI); others are refused",
    )
    add("--entrypoint", help="name of the executable, where the package has several")
    add(
        "--command",
        dest="program",
        metavar="WORD",
        action="append",
        default=[],
        help="run this in the package's environment instead of an executable of it; once for each word",
    )
    add(
        "--runtime",
        choices=["node", "python"],
        help="what a project is written for; its files say it if not given",
    )
    add("--directory", default="", help="the folder of a project inside its repository")
    add(
        "--file",
        dest="files",
        metavar=("PATH", "MODE", "STAGED"),
        nargs=3,
        action="append",
        default=[],
        help="a file that waits at STAGED in the machine and belongs at PATH, with an octal MODE; once for each file",
    )
    add("--exec", dest="local", action="store_true", help="run a local command instead of a package")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.adapter", description=__doc__)
    add = parser.add_argument
    add("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 - the machine's network is private
    add("--port", type=int, default=8080, help="TCP port to listen on")
    add("--workdir", type=Path, help="working directory and HOME of the server")
    add("--cache-dir", type=Path, default=_default_cache(), help="where packages and runtimes are kept")
    _add_program_options(parser)
    add("--transport", choices=[each.value for each in Transport], default="stdio", help="how the server speaks")
    add("--server-port", type=int, default=0, help="port of a server that speaks HTTP; 0: a free one, told it in PORT")
    add("--server-path", default="/mcp", help="path of a server that speaks HTTP")
    add("--sessions", choices=[mode.value for mode in SessionMode], default="auto", help="processes per legacy session")
    add("--max-children", type=int, default=16, help="server processes beside the shared one at once")
    add("--max-children-per-principal", type=int, default=8, help="the same for one principal")
    add("--max-sessions", type=int, default=10_000, help="legacy sessions at once")
    add("--max-sessions-per-principal", type=int, default=1_000, help="the same for one principal")
    add("--max-calls", type=int, default=4_096, help="requests at once, open listen streams included")
    add("--max-calls-per-principal", type=int, default=512, help="the same for one principal")
    add("--max-message-bytes", type=int, default=DEFAULT_MESSAGE_BYTES, help="size of one message, in both directions")
    add(
        "--max-call-seconds", type=float, default=3_600.0, help="how long one call may take, whatever progress it makes"
    )
    add("--session-idle", type=float, default=1_800.0, help="seconds without a sign of life that end a session")
    add(
        "--allow-origin", action="append", default=[], help="a browser origin that may call, e.g. http://127.0.0.1:6274"
    )
    add("--linger", type=float, default=15.0, help="seconds that a permanent failure stays on /health")
    return parser

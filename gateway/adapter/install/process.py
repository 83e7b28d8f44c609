"""Run npm and uv: bounded in time, with an allow-listed environment, their output in the log line by line.

An installer executes code of strangers at worst and talks to the network at best, so it never sees the server's own
variables: only what npm, uv and pip themselves are configured with.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process

from gateway.adapter.lines import LineSplitter

_ALLOWED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_.+|TZ|TMPDIR|NETRC|XDG_.+|PYENV_.+"
    r"|(HTTP|HTTPS|ALL|NO|FTP)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
    r"|(NPM_CONFIG|UV|PIP)_.+",
    re.IGNORECASE,
)
_MAX_OUTPUT_BYTES = 64 * 1024 * 1024
_MAX_LINE_BYTES = _MAX_OUTPUT_BYTES
_KEPT_LINES = 200
_NEUTRAL_FOLDER = "/"
"""uv and npm read project files from the working directory and its parents: a project's own pins are none of a
server's.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How an installer ended. `errors` are the last lines of its standard error."""

    status: int
    output: str
    errors: tuple[str, ...]

    @property
    def text(self) -> str:
        """Everything that it wrote, for matching error texts."""
        return self.output + "\n" + "\n".join(self.errors)


class InstallerTimeout(Exception):
    """An installer did not end in time and was stopped with everything that it started."""


def installer_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of the environment that installers may see."""
    return {key: value for key, value in environment.items() if _ALLOWED.fullmatch(key)}


def pyenv_folders() -> list[str]:
    """The interpreters of pyenv, whose shims on PATH refuse every version but the chosen one."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [str(folder) for folder in sorted(root.glob("versions/3.*/bin"), reverse=True)]


async def run_installer(
    command: Sequence[str],
    *,
    timeout_s: float,
    log: Callable[[str], None],
    path: Sequence[Path] = (),
    quiet_output: bool = False,
) -> Finished:
    """Run a command to its end. `path` goes before PATH; `quiet_output` keeps standard output out of the log.

    Raises InstallerTimeout, and OSError when the command cannot be executed.
    """
    environment = installer_environment(os.environ)
    environment["PATH"] = os.pathsep.join([*map(str, path), environment.get("PATH", os.defpath), *pyenv_folders()])
    process = await anyio.open_process(
        command, stdin=subprocess.DEVNULL, env=environment, cwd=_NEUTRAL_FOLDER, start_new_session=True
    )
    try:
        with anyio.fail_after(timeout_s):
            return await _collect(process, log, quiet_output=quiet_output)
    except TimeoutError as error:
        raise InstallerTimeout(f"{Path(command[0]).name} did not end within {timeout_s:.0f} s") from error
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _collect(process: Process, log: Callable[[str], None], *, quiet_output: bool) -> Finished:
    output: list[str] = []
    errors: list[str] = []
    status = 0
    assert process.stdout is not None
    assert process.stderr is not None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, process.stdout, output, None if quiet_output else log)
        tasks.start_soon(_read, process.stderr, errors, log)
        status = await process.wait()
    return Finished(status=status, output="\n".join(output), errors=tuple(errors[-_KEPT_LINES:]))


async def _read(stream: ByteReceiveStream, into: list[str], log: Callable[[str], None] | None) -> None:
    splitter = LineSplitter(_MAX_LINE_BYTES)
    size = 0
    async for chunk in stream:
        size += len(chunk)
        _take(splitter.feed(chunk) if size <= _MAX_OUTPUT_BYTES else [], into, log)
    _take([splitter.rest()], into, log)


def _take(lines: Sequence[bytes], into: list[str], log: Callable[[str], None] | None) -> None:
    for line in lines:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            into.append(text)
            if log is not None:
                log(text)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.aclose()

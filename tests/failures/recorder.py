"""Runs a failing server by the adapter, as a machine does, and keeps what its log says.

What tells of the machine that it was recorded on is replaced: folders, registries, ports, its own name.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from reconciler.core.archive import packed
from tests.failures.provoked import Provoked, Source
from tests.sources.conftest import serve_git

LONGEST_RUN_S = 200.0
"""The adapter waits two minutes for an answer."""
MOST_LINES = 1000
_ROOT = Path(__file__).parents[2]
_REGISTRY = re.compile(r"\b(?:[\w-]+\.)*(?:\w*npm\w*|pypi|pythonhosted|debian)\.(?:org|com)\b")
_TEMPORARY = re.compile(r"/tmp/[A-Za-z0-9_.-]+")
_LIMITED = 'ulimit -v "$1"; shift; exec "$@"'


class StillRuns(Exception):
    """The server works, or does not end: it is no failure that can be recorded."""


def record(provoked: Provoked, services: Mapping[str, str], cache: Path) -> list[str]:
    """The lines of the machine's log.

    Raises:
        StillRuns: as it says; its text is what was logged.
    """
    with tempfile.TemporaryDirectory(prefix="failing-") as folder, ExitStack() as stack:
        place = Path(folder)
        files = {name: _filled(text, services) for name, text in provoked.files.items()}
        program = _program(provoked, files, place, stack)
        arguments = [_filled(word, services) for word in provoked.arguments]
        command = _command(provoked, [*program, *arguments], place, cache)
        environment = _environment(provoked, services, place)
        lines = _run(command, environment)
        return [_cleaned(line, place, cache) for line in lines][-MOST_LINES:]


def _filled(text: str, services: Mapping[str, str]) -> str:
    for name, value in services.items():
        text = text.replace("{" + name + "}", value)
    return text


def _program(provoked: Provoked, files: Mapping[str, str], place: Path, stack: ExitStack) -> list[str]:
    home = place / "home"
    home.mkdir()
    if provoked.source is Source.DIRECTORY:
        archive = place / "source.tar.gz"
        archive.write_bytes(packed({name: text.encode() for name, text in files.items()}))
        return [f"archive:{archive}"]
    if provoked.source is Source.GIT:
        return [_git(provoked, files, place, stack)]
    if provoked.source is Source.COMMAND:
        for name, text in files.items():
            (home / name).write_text(text, encoding="utf-8", newline="")
        return []
    return [f"{provoked.source}:{provoked.package}"]


def _git(provoked: Provoked, files: Mapping[str, str], place: Path, stack: ExitStack) -> str:
    repository = place / "repositories" / "fleet"
    repository.mkdir(parents=True)
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text, encoding="utf-8")
    identity = ["-c", "user.name=A", "-c", "user.email=a@acme.example"]
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        [*identity, "commit", "-q", "--allow-empty", "-m", "A server"],
    ):
        subprocess.run(["git", *words], cwd=repository, check=True)
    tip = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True)
    host = next(server := serve_git(place / "repositories"))
    stack.callback(lambda: next(server, None))
    address, _, commit = (provoked.package or "@").rpartition("@")
    return f"git:{address or host.url}@{commit or tip.stdout.strip()}".replace("{git}", f"127.0.0.1:{host.port}")


def _command(provoked: Provoked, program: Sequence[str], place: Path, cache: Path) -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    local = ["--exec"] if provoked.source is Source.COMMAND else []
    own = ["--host=127.0.0.1", f"--port={port}", "--linger=0", f"--workdir={place / 'home'}", f"--cache-dir={cache}"]
    adapter = [sys.executable, "-m", "gateway.adapter", *own, *provoked.options, *local, "--", *program]
    if not provoked.address_space_mb:
        return adapter
    return ["bash", "-c", _LIMITED, "bash", str(provoked.address_space_mb * 1024), *adapter]


def _environment(provoked: Provoked, services: Mapping[str, str], place: Path) -> dict[str, str]:
    """What the machine would have, without what this one has set for its own work."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "LANG", "TZ"} or name.startswith(("PIP_", "UV_", "NPM_", "npm_", "SSL_", "NODE_EXTRA"))
    }
    config = {
        "NPM_CONFIG_USERCONFIG": str(Path.home() / ".npmrc"),
        "PYTHONPATH": str(_ROOT),
        "HOME": str(place / "home"),
    }
    given = {name: _filled(value, services) for name, value in provoked.environment.items()}
    return kept | config | {"FLY_MACHINE_ID": "148ed193b95948"} | given


def _run(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    with subprocess.Popen(
        command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:  # fmt: skip
        ended = threading.Timer(LONGEST_RUN_S, lambda: _end(process))
        ended.start()
        lines: list[str] = []
        assert process.stdout is not None
        for raw in process.stdout:
            lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
            if lines[-1].startswith('{"catwalk": "ready"') and "ENDS_LATER" not in environment:
                _end(process)
        ended.cancel()
        _end(process)
    if not any(line.startswith('{"catwalk": "failed"') for line in lines):
        raise StillRuns("\n".join(lines[-20:]))
    return lines


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _cleaned(line: str, place: Path, cache: Path) -> str:
    line = (
        line.replace(str(cache), "/var/cache/catwalk").replace(str(place), "/srv").replace(str(_ROOT), "/opt/catwalk")
    )
    return without_machine(line)


def without_machine(line: str) -> str:
    """A line that tells of no folder, version or name of the machine that it was recorded on."""
    found = {
        sys.base_prefix: "/usr/local",
        str(Path.home() / ".pyenv/shims"): "/usr/local/bin",
        str(Path.home() / ".pyenv"): "/usr/local",
        str(Path.home()): "/home/catwalk",
        socket.gethostname(): "machine",
        os.uname().release: "6.1.0",
    }
    for known, shown in found.items():
        line = line.replace(known, shown)
    line = _REGISTRY.sub("registry.example", line)
    return _TEMPORARY.sub("/tmp/scratch", line)

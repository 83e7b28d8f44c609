"""The process that all processes of an enumeration are forked from: `python -m tests.crash.nursery`.

It loads and builds once what every one of them would have to: imports that libraries put off, the schema of the
database, regular expressions, TLS contexts. That costs a second here, and would in each of several hundred processes.
It has one thread when it forks, and does nothing but to wait for the end of its child.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import SSLContext
from types import MappingProxyType
from typing import Final, NoReturn

import anyio
import httpx._transports.default as transports

from reconciler.core.secret import SecretValue
from reconciler.fly.client import MachinesAPI
from reconciler.loop.clock import SystemClock
from reconciler.loop.store.store import open_store
from reconciler.report.github import GitHub, PersonalToken
from reconciler.sops.identities import load_identities
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sources.git.remote import RemoteSource
from reconciler.sources.manifests import read_manifests
from tests.crash.process import Life, live
from tests.crash.scenario import Upstream, new_key, steps

ROOT: Final = Path(__file__).resolve().parents[2]
LONGEST_LIFE_S: Final = 60
"""Of a process; what takes longer hangs."""

_contexts: dict[str, SSLContext] = {}
_create_ssl_context = transports.create_ssl_context


def _one_context(*arguments: object, **options: object) -> SSLContext:
    """Nobody here speaks TLS, and reading all certificates takes a tenth of a second."""
    name = repr((arguments, sorted(options)))
    if name not in _contexts:
        _contexts[name] = _create_ssl_context(*arguments, **options)
    return _contexts[name]


async def _warm(directory: Path) -> None:
    key, clock = new_key(), SystemClock()
    upstream = Upstream(directory / "upstream.git", key)
    upstream.commit(steps()[0])
    source = RemoteSource(url=upstream.url, state_dir=directory, branch="main")
    files = await source.files(await source.head())
    secrets = ServerSecrets(load_identities({"SOPS_AGE_KEY": key.secret}))
    for spec in read_manifests(files).specs:
        await secrets.read(spec, MappingProxyType(files))
    (await open_store(directory, clock)).close()
    async with (
        MachinesAPI(base_url="http://127.0.0.1:9", token=SecretValue("fm2_x")),
        GitHub("http://127.0.0.1:9", PersonalToken(SecretValue("ghp_x")), clock),
    ):
        pass


def warm() -> None:
    transports.create_ssl_context = _one_context
    with tempfile.TemporaryDirectory() as directory:
        anyio.run(_warm, Path(directory))


class Nursery:
    """The other end: asks for processes, one after the other."""

    def __init__(self, server: "subprocess.Popen[bytes]") -> None:
        self._server = server

    def spawn(self, life: Life) -> int:
        """Lets a process live its life; its exit code, negative for the signal that ended it."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        pickle.dump(life, self._server.stdin)
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@contextmanager
def nursery() -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.crash.nursery"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            yield Nursery(server)
        finally:
            server.kill()


def _serve() -> None:
    while True:
        try:
            life: Life = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            _be(life)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _be(life: Life) -> NoReturn:
    """The child: it never returns, and hangs no longer than it may."""
    signal.alarm(LONGEST_LIFE_S)
    code = 1
    try:
        live(life)
        code = 0
    except BaseException:  # noqa: BLE001 - the end of a process: what it says is all that is left of it.
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    warm()
    _serve()

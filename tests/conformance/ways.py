"""The ways to the everything-server that the suite compares: straight, and through what Catwalk puts in between."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.servers import loaded

ROOT = Path(__file__).parents[2]
SERVER = (sys.executable, str(ROOT / "tests" / "servers" / "everything"))
_START_S = 30


class Way(Enum):
    """How the suite reaches the server."""

    DIRECT = "direct"
    """HTTP, and nothing in between: what the server can do by itself."""
    GATEWAY = "gateway"
    """The gateway in front of the server's own HTTP."""
    STDIO = "gateway-adapter-stdio"
    """The gateway in front of the adapter, which runs the server over stdio."""
    HTTP = "gateway-adapter-http"
    """The gateway in front of the adapter, which runs the server and speaks HTTP with it."""
    LEGACY_STDIO = "gateway-adapter-legacy-stdio"
    """The same with a server that knows only the revisions before 2026-07-28: the modern set needs translation."""
    LEGACY_HTTP = "gateway-adapter-legacy-http"
    MODERN_STDIO = "gateway-adapter-modern-stdio"
    """The same with a server that knows only revision 2026-07-28: the legacy sets need translation."""
    MODERN_HTTP = "gateway-adapter-modern-http"
    AGGREGATE = "aggregate"
    """The address of all servers, names unprefixed because there is one, in front of the server's own HTTP."""
    AGGREGATE_STDIO = "aggregate-adapter-stdio"
    """The same in front of the adapter, which runs the server over stdio."""


_STDIO: tuple[str, ...] = ()
_HTTP = ("--transport", "streamable-http")
_AGGREGATED = {Way.AGGREGATE, Way.AGGREGATE_STDIO}
_ADAPTED = {
    Way.STDIO: (_STDIO, "both"),
    Way.AGGREGATE_STDIO: (_STDIO, "both"),
    Way.HTTP: (_HTTP, "both"),
    Way.LEGACY_STDIO: (_STDIO, "legacy"),
    Way.LEGACY_HTTP: (_HTTP, "legacy"),
    Way.MODERN_STDIO: (_STDIO, "modern"),
    Way.MODERN_HTTP: (_HTTP, "modern"),
}
"""What adapter and server are told about the transport between them, and the server about the era that it speaks."""


@contextmanager
def way_to(way: Way) -> Iterator[str]:
    """Start what the way needs; yields the URL for the suite."""
    with ExitStack() as started:
        port = started.enter_context(_adapter(way) if way in _ADAPTED else _http_server())
        if way is not Way.DIRECT:
            port = started.enter_context(_gateway(port))
            path = "mcp" if way in _AGGREGATED else "servers/everything/mcp"
            yield f"http://localhost:{port}/{path}"
        else:
            yield f"http://localhost:{port}/mcp"


@contextmanager
def _http_server() -> Iterator[int]:
    port = _free_port()
    with _running([*SERVER, "--transport", "streamable-http", "--port", str(port)]):
        _wait_for_port(port)
        yield port


@contextmanager
def _adapter(way: Way) -> Iterator[int]:
    port = _free_port()
    transport, era = _ADAPTED[way]
    adapter = [sys.executable, "-m", "gateway.adapter", "--host", "127.0.0.1", "--port", str(port)]
    with _server_command(transport) as server, _running([*adapter, *transport, "--exec", "--", *server, "--era", era]):
        wait_for_health(f"http://127.0.0.1:{port}/health")
        yield port


@contextmanager
def _server_command(transport: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Over stdio each session of the older revisions has a process of its own: those are forked, loaded already."""
    if transport:
        yield (*SERVER, *transport)
        return
    with tempfile.TemporaryDirectory() as folder:
        address = Path(folder) / "servers"
        with _running([sys.executable, "-m", "tests.servers.loaded", str(address)]):
            _wait_for_file(address)
            yield loaded.command(address)


@contextmanager
def _gateway(upstream_port: int) -> Iterator[int]:
    port = _free_port()
    with _running([sys.executable, "-m", "tests.conformance.serve_gateway", str(port), str(upstream_port)]):
        _wait_for_port(port)
        yield port


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int) -> None:
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline_s, f"nothing listens on port {port}"
            time.sleep(0.05)
        else:
            return


def _wait_for_file(path: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while not path.exists():
        assert time.monotonic() < deadline_s, f"{path} did not come to be"
        time.sleep(0.05)


def wait_for_health(url: str) -> None:
    """Wait until an adapter is ready."""
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            with urlopen(url, timeout=2):
                return
        except (URLError, OSError):
            assert time.monotonic() < deadline_s, f"{url} did not become ready"
            time.sleep(0.05)

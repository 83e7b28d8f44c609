"""Real git for the tests of the sources: repositories, an http server around `git http-backend`, and sshd."""

import base64
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

MANIFEST = b"apiVersion: catwalk.dev/v1\nfleet: acme\nservers:\n  time:\n    package: pypi:mcp-server-time@2026.10.19\n"


class Repository:
    """A work tree with git in it, driven by the git program."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
        command = ["git", *identity, "-C", str(self.path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    def write(self, name: str, content: bytes = MANIFEST) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def commit(self, message: str = "Change the fleet") -> str:
        self.git("add", "--all")
        self.git("commit", "--allow-empty", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path) -> Repository:
    """A repository with the branch `main` and one manifest in its only commit."""
    path = tmp_path / "fleet"
    path.mkdir()
    made = Repository(path)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("config", "uploadpack.allowAnySHA1InWant", "true")
    made.write("catwalk.yaml")
    made.commit("Declare the fleet\n\nWith a body.")
    return made


@dataclass
class GitHttpServer:
    """`git http-backend` behind a server that can want a password, break, hang and redirect."""

    root: Path
    password: str = ""
    fault: str = ""
    """Empty, a status such as `500`, `hang`, `trickle` or a URL to redirect to."""
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/fleet/.git"


class _GitHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: ClassVar[GitHttpServer]

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        state, body = self.server_state, self._body()
        state.requests.append(f"{self.command} {self.path}")
        given = self.headers.get("Authorization", "")
        if given:
            state.authorizations.append(given)
        if state.fault:
            self._break(state)
        elif state.password and not _opens(given, state.password):
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'})
        else:
            self._backend(state, body)

    def _break(self, state: GitHttpServer) -> None:
        if state.fault == "hang":
            state.released.wait(30)
            self.close_connection = True
        elif state.fault == "trickle":
            self._trickle(state)
        elif state.fault.startswith("http"):
            self._answer(302, {"Location": state.fault + self.path})
        else:
            self._answer(int(state.fault), {})

    def _trickle(self, state: GitHttpServer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        self.send_header("Content-Length", "100000")
        self.end_headers()
        try:
            self.wfile.write(b"001e# service=git-upload-pack\n0000" + b"ffff")
            while not state.released.wait(0.2):
                self.wfile.write(b"a")
                self.wfile.flush()
        except OSError:
            pass
        self.close_connection = True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _backend(self, state: GitHttpServer, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(state.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": "ann",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, env=environment, timeout=30, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _opens(given: str, password: str) -> bool:
    return base64.b64decode(given.partition(" ")[2]).decode().partition(":")[2] == password


def serve_git(root: Path) -> Iterator[GitHttpServer]:
    state = GitHttpServer(root=root)
    handler = type("Handler", (_GitHandler,), {"server_state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def git_http(repository) -> Iterator[GitHttpServer]:
    yield from serve_git(repository.path.parent)


@pytest.fixture
def other_git_http(repository) -> Iterator[GitHttpServer]:
    yield from serve_git(repository.path.parent)


@dataclass
class SshServer:
    """sshd on a loopback port, for one user with one key."""

    port: int
    private_key: str
    stranger: str
    """A private key that opens nothing."""
    host_key: str
    """The public host key, as `known_hosts` writes it behind the host."""
    path: Path

    def url(self, user: str) -> str:
        return f"ssh://{user}@127.0.0.1:{self.port}{self.path}"

    def known_hosts_line(self, key: str = "") -> str:
        return f"[127.0.0.1]:{self.port} {key or self.host_key}\n"


@pytest.fixture
def git_ssh(repository, tmp_path) -> Iterator[SshServer]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("sshd is not installed")
    home = tmp_path / "sshd"
    home.mkdir(mode=0o700)
    for name in ("host", "client", "stranger"):
        make_key(home / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "authorized_keys").write_bytes((home / "client.pub").read_bytes())
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nPidFile {home}/pid\n"
        f"AuthorizedKeysFile {home}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin yes\n",
        encoding="utf-8",
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [program, "-D", "-e", "-f", str(home / "config")], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stderr is not None
        _wait_for_listening(process)
        host_key = " ".join((home / "host.pub").read_text(encoding="utf-8").split()[:2])
        client, stranger = ((home / name).read_text(encoding="utf-8") for name in ("client", "stranger"))
        yield SshServer(port=port, private_key=client, stranger=stranger, host_key=host_key, path=repository.path)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait_for_listening(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "Server listening" in line:
            return
    pytest.skip(f"sshd does not start here: {''.join(said)}")


def make_key(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30, capture_output=True
    )

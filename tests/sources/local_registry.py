"""A package registry on loopback: documents of the shapes that real ones serve, and every way in which one can fail."""

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class Answer:
    """What one path answers."""

    body: bytes
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str = ""
    """Other callers get 401."""
    truncated: bool = False
    """Announces more than it sends."""
    hold: threading.Event | None = None
    """Answers only when this is set."""
    ranges: bool = True


@dataclass(frozen=True)
class Call:
    path: str
    headers: Mapping[str, str]


class LocalRegistry:
    """Answers what a test puts in, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.calls: list[Call] = []
        self.url = ""

    def put(self, path: str, body: object, **options: object) -> Answer:
        data = (
            body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        )
        self.answers[path] = Answer(body=data, **options)  # type: ignore[arg-type]
        return self.answers[path]

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]


@contextmanager
def local_registry() -> Iterator[LocalRegistry]:
    local = LocalRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            local.calls.append(Call(self.path, {name.lower(): value for name, value in self.headers.items()}))
            _send(self, local.answers.get(self.path) or Answer(body=b"absent", media_type="text/plain", status=404))

        def do_HEAD(self) -> None:
            answer = local.answers.get(self.path) or Answer(body=b"", status=404)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        local.url = f"http://127.0.0.1:{server.server_port}"
        yield local
        for answer in local.answers.values():
            if answer.hold is not None:
                answer.hold.set()
        server.shutdown()
        thread.join()


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    if answer.hold is not None:
        answer.hold.wait(30)
    if answer.authorization and handler.headers.get("Authorization") != answer.authorization:
        answer = Answer(body=b"no", status=401)
    status, body, headers = answer.status, answer.body, dict(answer.headers)
    etag = headers.get("ETag")
    if etag and handler.headers.get("If-None-Match") == etag:
        status, body = 304, b""
    wanted = re.fullmatch(r"bytes=-(\d+)", handler.headers.get("Range", ""))
    if wanted and answer.ranges and status == 200:
        size, length = len(body), min(int(wanted[1]), len(body))
        status, body = 206, body[size - length :]
        headers["Content-Range"] = f"bytes {size - length}-{size - 1}/{size}"
    try:
        handler.send_response(status)
        handler.send_header("Content-Type", answer.media_type)
        handler.send_header("Content-Length", str(len(body) + (100 if answer.truncated else 0)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
    except OSError:
        return  # The caller gave up, which is what some tests are about.


def wheel(
    name: str,
    version: str,
    *,
    scripts: str = "",
    description: str = "",
    padding: int = 0,
    requires: Sequence[str] = (),
) -> bytes:
    """A wheel as installers write it: the program first, its metadata last."""
    packed = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    metadata = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}"
        f"Project-URL: Changelog, https://example.org/{name}/changes\n\n{description}"
    )
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}/__init__.py", b"x" * padding)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        if scripts:
            archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{scripts}\n")
    return packed.getvalue()


def simple_file(filename: str, content: bytes, **facts: object) -> dict[str, object]:
    """One file of a project page (PEP 691)."""
    digest = hashlib.sha256(content).hexdigest()
    return {"filename": filename, "url": filename, "hashes": {"sha256": digest}, **facts}

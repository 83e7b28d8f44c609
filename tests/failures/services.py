"""What the failing servers call: services that refuse, fail, keep silent, or show a certificate that nobody trusts."""

import datetime as dt
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ANSWERS = {
    "ok": (200, b'{"ok": true}'),
    "401": (401, b'{"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}'),
    "403": (403, b'{"message": "Forbidden"}'),
    "500": (500, b'{"message": "Internal Server Error"}'),
}


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """What the placeholders of a scenario stand for, while the services run."""
    with ExitStack() as stack:
        found = {name: stack.enter_context(_answering(*answer)) for name, answer in ANSWERS.items()}
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        found["silent"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found["taken"] = str(silent.getsockname()[1])
        found["tls"] = stack.enter_context(_answering(200, b"{}", tls=True))
        with socket.create_server(("127.0.0.1", 0)) as closed:
            found["closed"] = str(closed.getsockname()[1])
        yield found


@contextmanager
def _answering(status: int, body: bytes, *, tls: bool = False) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(status, body))
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with _certificate() as path:
            context.load_cert_chain(path)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(status: int, body: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815  # The names are those of the library.

        def log_message(self, *_: object) -> None:
            """Nobody reads what the service would say."""

    return Handler


@contextmanager
def _certificate() -> Iterator[Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "service.pem"
        path.write_bytes(text + made.public_bytes(serialization.Encoding.PEM))
        yield path

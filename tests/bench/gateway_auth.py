"""What it costs the gateway to know who calls: `python -m tests.bench.gateway_auth` (needs nginx and wrk).

The same `tools/call` as `tests.bench.gateway`, through one gateway each: one that is open, one with static tokens, one
with tokens of an identity provider (ES256, checked once and remembered), the same with limits, and one to a remote
server over plain HTTP on loopback. In turns, round by round; processor time for one call depends least on the rest of
the machine. The last line is what a token costs that was never seen before, in this process.
"""

import argparse
import hashlib
import http.server
import json
import multiprocessing
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import jwt
import psutil
import uvicorn
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from gateway.access import Access, Limits, OpenAccess, Undecided
from gateway.app import Readiness, create_app
from gateway.oauth.access import AccessRules, BearerAccess
from gateway.oauth.fetching import Fetcher
from gateway.oauth.issuer import Issuer
from gateway.oauth.providers import Provider
from gateway.oauth.resource import Resources
from gateway.relay import OutsideRules, read_url
from gateway.remote import RemoteSide, StaticCredentials
from gateway.routing import RouteTable, Upstream
from gateway.settings import GatewaySettings
from tests.bench.gateway import ANSWER, DIRECT, TOKEN, Measured, Target, free_port, load, median, nginx

BASE = "http://gateway.example.com"
PATTERNS = ["get_*", "list_*", "ec?o"]
LOOPBACK = OutsideRules(networks=("127.0.0.0/8",))
KINDS = ("open", "static token", "provider's token", "provider's token, limits", "open, remote server")


def access_of(kind: str, issuer: str) -> Access:
    if kind.startswith("open"):
        return OpenAccess()
    provider = Provider(name="corp", issuer=issuer, jwks_url=f"{issuer}/keys")
    rules = AccessRules(
        tokens={f"other-{number}": hashlib.sha256(b"%d" % number).hexdigest() for number in range(20)}
        | {"caller": hashlib.sha256(TOKEN.encode()).hexdigest()},
        providers=[provider],
        access={"caller": {"ec*": PATTERNS}, "platform": {"ec*": PATTERNS}},
        limits={"*": Limits(requests_per_minute=1_000_000, concurrent=10_000, calls_per_day=100_000_000)}
        if "limits" in kind
        else {},
    )
    return BearerAccess(rules, Resources(BASE, [provider]), [Issuer(provider, Fetcher(LOOPBACK), time.monotonic)])


def serve_gateway(ready: Connection, kind: str, upstream_port: int, issuer: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    remote = None
    if "remote" in kind:
        outside = read_url(f"http://127.0.0.1:{upstream_port}/mcp", LOOPBACK).outside
        remote = RemoteSide(outside=outside, credentials=StaticCredentials([("Authorization", lambda: "Bearer x")]))
    authority = f"127.0.0.1:{upstream_port}" if remote else "echo.flycast"
    route = Upstream(
        server="echo", app="echo", host="127.0.0.1", port=upstream_port, authority=authority, remote=remote
    )
    settings = GatewaySettings(session_key=b"k" * 32, access=access_of(kind, issuer))
    app = create_app(settings, RouteTable([route]), lambda: Readiness(is_ready=True))
    config = uvicorn.Config(app, loop="uvloop", http=app.http_protocol, ws="none", log_config=None, access_log=False)
    ready.send(listener.getsockname()[1])
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def gateway(kind: str, upstream_port: int, issuer: str, token: str) -> Iterator[Target]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve_gateway, args=(there, kind, upstream_port, issuer), daemon=True)
    process.start()
    try:
        url = f"http://127.0.0.1:{here.recv()}/servers/echo/mcp"
        headers = {"Authorization": f"Bearer {token}"}
        yield Target(name=kind, url=url, process=psutil.Process(process.pid), headers=headers)
    finally:
        process.kill()
        process.join()


@contextmanager
def issuer_with(key: ec.EllipticCurvePrivateKey) -> Iterator[str]:
    entry = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k", "use": "sig", "alg": "ES256"}

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": [entry]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def token_of(key: ec.EllipticCurvePrivateKey, issuer: str, number: int = 0) -> str:
    now = int(time.time())
    claims = {"iss": issuer, "sub": "alice", "aud": f"{BASE}/servers/echo/mcp", "exp": now + 3600, "n": number}
    return jwt.encode({**claims, "groups": ["platform"]}, key, algorithm="ES256", headers={"kid": "k"})


async def first_seen_us(access: Access, tokens: list[str]) -> float:
    """The processor time of one check of a token that is new, in microseconds."""
    try:
        access.admit(f"Bearer {tokens[0]}".encode(), "echo")
    except Undecided as undecided:
        await undecided.fetch()
    began_s = time.process_time()
    for token in tokens:
        assert access.admit(f"Bearer {token}".encode(), "echo") is not None
    return (time.process_time() - began_s) * 1e6 / len(tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=4, help="measurements of each kind")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    key = ec.generate_private_key(ec.SECP256R1())
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        upstream = free_port()
        opened.enter_context(nginx("direct", directory, upstream, DIRECT.format(port=upstream, answer=ANSWER)))
        issuer = opened.enter_context(issuer_with(key))
        targets = [
            opened.enter_context(
                gateway(kind, upstream, issuer, TOKEN if kind == "static token" else token_of(key, issuer))
            )
            for kind in KINDS
        ]
        measured: dict[str, list[Measured]] = {target.name: [] for target in targets}
        for _ in range(options.rounds):
            for target in targets:
                measured[target.name].append(load(target, directory / "load.lua", options.connections, options.seconds))
        print("| gateway | calls/s | p50 / p99 ms | errors | CPU us per call | of open |\n|---|---|---|---|---|---|")
        figures = {name: median(values) for name, values in measured.items()}
        for name, each in figures.items():
            ratio, latency = each.cpu_us / figures["open"].cpu_us, f"{each.p50_ms:.2f} / {each.p99_ms:.2f}"
            print(f"| {name} | {each.calls_per_s:,.0f} | {latency} | {each.errors} | {each.cpu_us:.1f} | {ratio:.2f} |")
        tokens = [token_of(key, issuer, number) for number in range(2000)]
        first = uvloop.run(first_seen_us(access_of("provider's token", issuer), tokens))
        print(f"\nA provider's token that was never seen: {first:.0f} us of a processor.")


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()

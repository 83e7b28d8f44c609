"""A GitHub on the loopback that remembers statuses, refuses what GitHub refuses, and fails on demand."""

import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from reconciler.core.secret import SecretValue
from reconciler.report.github import GitHub, PersonalToken, RepositoryStatuses
from reconciler.report.repository import Repository

TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
REPOSITORY = Repository(host="github.com", owner="acme", name="fleet")

# REST docs, "Create a commit status", body parameters; other members are not documented and would be a mistake of ours.
STATUS_BODY = {
    "type": "object",
    "required": ["state"],
    "additionalProperties": False,
    "properties": {
        "state": {"enum": ["error", "failure", "pending", "success"]},
        "target_url": {"type": ["string", "null"], "pattern": "^https?://"},
        "description": {"type": ["string", "null"]},
        "context": {"type": "string", "default": "default"},
    },
}
MOST_PER_CONTEXT = 1000
STATUSES = re.compile(r"/repos/([^/]+/[^/]+)/statuses/([0-9a-f]{40})")
LISTED = re.compile(r"/repos/([^/]+/[^/]+)/commits/([0-9a-f]{40})/statuses")


class MovingClock:
    """Time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Canned:
    """An answer that is given instead of the right one. `done` performs the request all the same, as a lost answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: object = field(default_factory=dict[str, object])
    done: bool = False


Route = Callable[[str, str, Mapping[str, str], bytes], Canned | None]
"""Answers calls of its own: method, path with query, headers, body."""


class LoopbackGitHub:
    """The state of the stand-in. What shall go wrong is put into `faults`, call by call; none lets a call through."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.seen: list[tuple[str, str, Mapping[str, str]]] = []
        self.sent: list[tuple[str, str, bytes]] = []
        self.faults: list[Canned | None] = []
        self.repositories = {"acme/fleet"}
        self.commits = {SHA, "b" * 40, "c" * 40}
        self.violations: list[str] = []
        self.tokens = {TOKEN}
        self.routes: list[Route] = []
        self.release = threading.Event()
        self.release.set()

    def states(self, context: str, sha: str = SHA) -> list[str]:
        """What was accepted for a context, oldest first."""
        return [one["state"] for one in self.posted if one["context"] == context and one["sha"] == sha]

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Canned:
        self.seen.append((method, path, headers))
        self.sent.append((method, path, body))
        self.release.wait(10)
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            return self._right(method, path, headers, body)
        if fault.done and STATUSES.fullmatch(path):
            self._create(path, body)
        elif fault.done:
            self._right(method, path, headers, body)
        return fault

    def _right(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Canned:
        self._check_headers(headers)
        for route in self.routes:
            if (answer := route(method, path, headers, body)) is not None:
                return answer
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return Canned(401, body={"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
        if method == "POST" and STATUSES.fullmatch(path):
            return self._create(path, body)
        if method == "GET" and LISTED.fullmatch(path.partition("?")[0]):
            return self._list(path)
        if method == "GET" and path.removeprefix("/repos/") in self.repositories:
            return Canned(200, body={"full_name": "acme/fleet", "private": True, "permissions": {"push": True}})
        return Canned(404, body={"message": "Not Found"})

    def _check_headers(self, headers: Mapping[str, str]) -> None:
        """REST docs, "Getting started": a user agent is required, the others are asked for."""
        wanted = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
        self.violations += [name for name, value in wanted.items() if headers.get(name) != value]
        self.violations += [] if headers.get("user-agent") else ["user-agent"]

    def _create(self, path: str, body: bytes) -> Canned:
        match = STATUSES.fullmatch(path)
        assert match is not None
        wish = json.loads(body)
        try:
            Draft202012Validator(STATUS_BODY).validate(wish)
        except ValidationError as fault:
            self.violations.append(fault.message)
            return self._invalid("invalid", fault.message)
        if len(wish.get("description") or "") > 140:
            return self._invalid("custom", "description is too long (maximum is 140 characters)")
        if match[2] not in self.commits:
            return Canned(422, body={"message": f"No commit found for SHA: {match[2]}"})
        if len(self.states(wish["context"], match[2])) >= MOST_PER_CONTEXT:
            return self._invalid("custom", "This SHA and context has reached the maximum number of statuses.")
        self.posted.append({"target_url": None, **wish, "sha": match[2]})
        return Canned(201, body=self.posted[-1])

    @staticmethod
    def _invalid(code: str, message: str) -> Canned:
        error = {"resource": "Status", "code": code, "field": "description", "message": message}
        return Canned(422, body={"message": "Validation Failed", "errors": [error]})

    def _list(self, path: str) -> Canned:
        address, _, query = path.partition("?")
        match = LISTED.fullmatch(address)
        assert match is not None
        options = dict(pair.split("=") for pair in query.split("&")) if query else {}
        size, page = int(options.get("per_page", "30")), int(options.get("page", "1"))
        newest_first = [one for one in reversed(self.posted) if one["sha"] == match[2]]
        return Canned(200, body=newest_first[(page - 1) * size : page * size])


def _handler(github: LoopbackGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PATCH(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            canned = github.answer(self.command, self.path, headers, body)
            content = canned.body if isinstance(canned.body, bytes) else json.dumps(canned.body).encode()
            self.send_response(canned.status)
            for name, value in {"content-type": "application/json", **canned.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


@pytest.fixture
def make_loopback():
    """Starts stand-ins, each on a port of its own, and ends them with the test."""
    started: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start() -> tuple[LoopbackGitHub, str]:
        github = LoopbackGitHub()
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(github))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return github, f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def loopback(make_loopback) -> Iterator[tuple[LoopbackGitHub, str]]:
    github, url = make_loopback()
    yield github, url
    github.release.set()
    assert github.violations == [], "every request has the documented shape"


@pytest.fixture
def github(loopback) -> LoopbackGitHub:
    return loopback[0]


@pytest.fixture
def canned() -> type[Canned]:
    return Canned


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def door(loopback, clock) -> AsyncIterator[GitHub]:
    async with GitHub(loopback[1], PersonalToken(SecretValue(TOKEN)), clock, read_timeout_s=5) as door:
        yield door


@pytest.fixture
def service(door) -> RepositoryStatuses:
    return RepositoryStatuses(door, REPOSITORY)

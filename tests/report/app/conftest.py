"""A GitHub App at the stand-in: it checks JWTs as GitHub does, and keeps check runs and comments as GitHub would."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from reconciler.core.secret import SecretValue
from reconciler.report.app_key import AppKey
from reconciler.report.connection import Connection
from reconciler.report.credentials import AppInstallation
from reconciler.report.github import GitHub
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository

APP_ID = "4711"
REPOSITORY = Repository(host="github.com", owner="acme", name="fleet")
RUNS = re.compile(r"/repos/acme/fleet/check-runs(?:/(\d+))?")
LISTED = re.compile(r"/repos/acme/fleet/commits/([0-9a-f]{40})/check-runs")
COMMENTS = re.compile(r"/repos/acme/fleet/issues/(\d+)/comments")
COMMENT = re.compile(r"/repos/acme/fleet/issues/comments/(\d+)")
TOKEN_LIFE_S = 3600
MOST_OF_A_TEXT = 65_535
MOST_ANNOTATIONS = 50
MOST_OF_A_COMMENT = 65_536


@pytest.fixture(scope="session")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def pem(private_key) -> str:
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


class AppDesk:
    """What the App may do at the stand-in. `tokens` maps each token to the second at which it dies."""

    def __init__(self, public_key, clock, canned) -> None:
        self.public_key, self.clock, self.canned = public_key, clock, canned
        self.installation_id: int | None = 99
        self.permissions = {"checks": "write", "statuses": "write", "metadata": "read", "pull_requests": "write"}
        self.tokens: dict[str, float] = {}
        self.asked_for: list[Any] = []
        self.runs: list[dict[str, Any]] = []
        self.annotations: dict[int, list[dict[str, Any]]] = {}
        self.comments: list[dict[str, Any]] = []
        self.writes: list[float] = []

    def route(self, method: str, path: str, headers: Mapping[str, str], body: bytes):
        token = headers.get("authorization", "").removeprefix("Bearer ")
        wish = json.loads(body) if body else {}
        address, _, query = path.partition("?")
        if address == "/app" or address.endswith(("/installation", "/access_tokens")):
            return self._as_app(address, token, wish)
        answer = self._answer_of(address)
        if answer is None:
            return None
        if self.tokens.get(token, 0) <= self._now():
            return self._error(401, "Bad credentials")
        if method != "GET":
            self.writes.append(self._now())
        options = dict(pair.split("=") for pair in query.split("&")) if query else {}
        return answer(method, wish, options)

    def states(self, name: str) -> list[str]:
        return [run["conclusion"] or run["status"] for run in self.runs if run["name"] == name]

    def _now(self) -> float:
        return self.clock.now().timestamp()

    def _error(self, status: int, message: str):
        return self.canned(status, body={"message": message, "documentation_url": "https://docs.github.com/rest"})

    def _as_app(self, address: str, token: str, wish: dict[str, Any]):
        try:
            claims = jwt.decode(
                token, self.public_key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.InvalidTokenError:
            return self._error(401, "A JSON web token could not be decoded")
        now = self._now()
        if claims["iss"] != APP_ID or not claims["iat"] <= now < claims["exp"] <= now + 600:
            return self._error(401, "'Expiration time' claim ('exp') is too far in the future")
        if address == "/app":
            return self.canned(200, body={"id": int(APP_ID), "slug": "catwalk-acme"})
        if address.endswith("/installation"):
            found = self.installation_id
            return self._error(404, "Not Found") if found is None else self.canned(200, body={"id": found})
        if address != f"/app/installations/{self.installation_id}/access_tokens":
            return self._error(404, "Not Found")
        return self._grant(wish, now)

    def _grant(self, wish: dict[str, Any], now: float):
        self.asked_for.append(wish)
        token = f"ghs_{len(self.asked_for):036d}"
        self.tokens[token] = now + TOKEN_LIFE_S
        dies = datetime.fromtimestamp(now + TOKEN_LIFE_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.canned(201, body={"token": token, "expires_at": dies, "permissions": self.permissions})

    def _answer_of(self, address: str) -> Callable[..., Any] | None:
        if match := RUNS.fullmatch(address):
            number = match[1]
            return lambda _, wish, __: self._update(int(number), wish) if number else self._create(wish)
        if match := LISTED.fullmatch(address):
            return lambda _, __, options: self._list(match[1], options)
        if match := COMMENTS.fullmatch(address):
            return lambda method, wish, options: self._comments(int(match[1]), method, wish, options)
        if match := COMMENT.fullmatch(address):
            return lambda _, wish, __: self._edit(int(match[1]), wish)
        return None

    def _create(self, wish: dict[str, Any]):
        run = {"id": len(self.runs) + 1, "status": "queued", "conclusion": None, "details_url": None}
        run |= {"external_id": "", "app": {"id": int(APP_ID)}, "head_sha": wish["head_sha"], "name": wish["name"]}
        run["output"] = {"title": None, "summary": None, "text": None, "annotations_count": 0}
        answer = self._write(run, wish, 201)
        if answer.status == 201:
            self.runs.append(run)
        return answer

    def _update(self, number: int, wish: dict[str, Any]):
        run = next((run for run in self.runs if run["id"] == number), None)
        return self._error(404, "Not Found") if run is None else self._write(run, wish, 200)

    def _write(self, run: dict[str, Any], wish: dict[str, Any], status: int):
        output = dict(wish.get("output", {}))
        annotations = output.pop("annotations", [])
        sizes = [len((output.get(name) or "").encode()) for name in ("summary", "text")]
        if max(sizes) > MOST_OF_A_TEXT or len(annotations) > MOST_ANNOTATIONS or not output.get("summary"):
            return self._error(422, "Invalid request.")
        if (wish.get("status") == "completed") != ("conclusion" in wish):
            return self._error(422, "completed runs have a conclusion")
        kept = self.annotations.setdefault(run["id"], [])
        kept += annotations
        run.update({key: value for key, value in wish.items() if key != "output"})
        run["output"] = {**run["output"], **output, "annotations_count": len(kept)}
        return self.canned(status, body=run)

    def _list(self, sha: str, options: dict[str, str]):
        found = [run for run in reversed(self.runs) if run["head_sha"] == sha]
        assert options["filter"] == "all"
        found = [run for run in found if "app_id" not in options or str(run["app"]["id"]) == options["app_id"]]
        return self.canned(200, body={"total_count": len(found), "check_runs": _page(found, options)})

    def _comments(self, number: int, method: str, wish: dict[str, Any], options: dict[str, str]):
        if method == "GET":
            return self.canned(200, body=_page([one for one in self.comments if one["issue"] == number], options))
        comment = {"id": len(self.comments) + 1, "issue": number, "user": {"login": "catwalk-acme[bot]"}}
        self.comments.append(comment)
        return self._edit(comment["id"], wish, status=201)

    def _edit(self, number: int, wish: dict[str, Any], *, status: int = 200):
        if len(wish["body"]) > MOST_OF_A_COMMENT:
            return self._error(422, "Body is too long (maximum is 65536 characters)")
        comment = next(one for one in self.comments if one["id"] == number)
        comment["body"] = wish["body"]
        return self.canned(status, body=comment)


def _page(found: list[dict[str, Any]], options: dict[str, str]) -> list[dict[str, Any]]:
    size, page = int(options.get("per_page", "30")), int(options.get("page", "1"))
    return found[(page - 1) * size : page * size]


@pytest.fixture
def app_id() -> str:
    return APP_ID


@pytest.fixture
def repository() -> Repository:
    return REPOSITORY


@pytest.fixture
def desk(github, private_key, clock, canned) -> AppDesk:
    desk = AppDesk(private_key.public_key(), clock, canned)
    github.routes.append(desk.route)
    return desk


@pytest.fixture
def key(pem) -> AppKey:
    return AppKey(APP_ID, SecretValue(pem))


@pytest.fixture
async def installation(loopback, desk, key, clock):
    async with Connection(loopback[1], clock, read_timeout_s=5) as connection:
        yield AppInstallation(key, REPOSITORY, connection, clock)


@pytest.fixture
async def app_door(loopback, installation, clock):
    async with GitHub(loopback[1], installation, clock, read_timeout_s=5) as door:
        yield door


@pytest.fixture
def pace(clock) -> Pace:
    async def sleep(seconds: float) -> None:
        clock.forward(seconds)

    return Pace(clock, sleep=sleep)

"""The book of who did what: what is written, how much, and for whom."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from gateway.observation import EndedCall
from reconciler.cli import auditing
from reconciler.cli.auditing import AuditBook, from_page, readers_of
from reconciler.cli.gateway_access import FollowedAccess
from reconciler.core.actions import Pass
from reconciler.core.audit import AuditKind, AuditLine, AuditQuery, AuditResult, KeptLine
from reconciler.core.gateway_rules import GatewayRules, TokenGrant
from reconciler.core.types import Trigger
from reconciler.errors import CatwalkError, Unavailable
from reconciler.loop.clock import SystemClock
from reconciler.web.audit import AuditReader
from reconciler.web.errors import NotAllowed

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOW


@dataclass
class Kept:
    """A store that keeps lines, or cannot."""

    lines: list[AuditLine] = field(default_factory=list)
    fault: CatwalkError | None = None

    async def note(self, lines):
        if self.fault is not None:
            raise self.fault
        self.lines += lines

    async def audit(self, query):
        return [KeptLine(number=number, line=line) for number, line in enumerate(self.lines)][: query.limit]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def book(kept) -> AuditBook:
    return AuditBook(kept, Clock(), auditing.everybody)


def call(method: str = "tools/call", name: str = "now", status: int = 200, **more: object) -> EndedCall:
    made = EndedCall(
        principal="anna", server="time", http_method="POST", method=method, name=name, status=status, seconds=0.25
    )
    return made._replace(**more)


async def test_equal_calls_share_a_line_with_their_number_and_the_slowest(book, kept):
    for seconds in (0.1, 0.4, 0.2):
        book.call_ended(call(seconds=seconds))
    book.call_ended(call(name="later"))
    await book.flush()
    assert [(line.deed.tool, line.times, line.slowest_ms) for line in kept.lines] == [
        ("now", 3, 400.0),
        ("later", 1, 250.0),
    ]
    assert kept.lines[0].deed.who == "anna"


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (call("tools/list"), []),
        (call("initialize", status=503), [("initialize", "", "failed")]),
        (call(status=0), [("tools/call", "now", "left")]),
        (call(is_denied=True), [("tools/call", "now", "refused")]),
        (call("", "", 404, http_method="GET"), [("GET", "", "refused")]),
        (call("resources/read", "file:///etc/passwd", 404), [("resources/read", "", "refused")]),
    ],
    ids=["a list that went well", "a server that is down", "left", "denied with 200", "no body", "a resource"],
)
async def test_tools_and_what_did_not_go_well_are_written_down(book, kept, ended, told):
    book.call_ended(ended)
    await book.flush()
    assert [(line.deed.method, line.deed.tool, line.deed.result) for line in kept.lines] == told


async def test_a_call_from_a_page_is_told_as_one(book, kept):
    told = from_page.set(True)
    book.call_ended(call())
    from_page.reset(told)
    book.call_ended(call())
    await book.flush()
    assert [line.deed.kind for line in kept.lines] == [AuditKind.TRY, AuditKind.CALL]


async def test_refused_credentials_are_counted_and_other_refusals_are_not(book, kept):
    for code in ("unauthenticated", "unauthenticated", "unknown-server", "origin-not-allowed"):
        book.refused(code)
    book.sign_in_refused("pages", "unauthenticated")
    await book.flush()
    assert [(line.deed.kind, line.deed.method, line.times) for line in kept.lines] == [
        (AuditKind.SIGN_IN, "gateway", 2),
        (AuditKind.SIGN_IN, "pages", 1),
    ]


async def test_names_that_a_caller_makes_up_fill_no_store(book, kept, monkeypatch):
    monkeypatch.setattr(auditing, "MOST_TOLD_APART", 3)
    for number in range(1000):
        book.call_ended(call(name=f"{number}" * 200))
    await book.flush()
    assert len(kept.lines) == 4
    assert max(len(line.deed.tool) for line in kept.lines) <= auditing.LONGEST_NAME
    assert sum(line.times for line in kept.lines) == 1000


async def test_what_the_store_did_not_take_is_written_later(book, kept):
    book.call_ended(call())
    kept.fault = Unavailable("database-failed", "busy")
    await book.flush()
    kept.fault = None
    book.call_ended(call())
    await book.flush()
    assert [line.times for line in kept.lines] == [2]


async def test_whoever_reads_sees_what_was_done_a_moment_ago(book):
    book.call_ended(call())
    (found,) = await book.lines(AuditQuery())
    assert found.line.deed.result is AuditResult.OK


def grant(name: str, *servers: tuple[str, tuple[str, ...]]) -> TokenGrant:
    return TokenGrant(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), servers=servers)


RULES = GatewayRules(
    tokens=(
        grant("admin", ("*", ("*",))),
        grant("reader", ("*", ("read_*",))),
        grant("one", ("time", ("*",))),
        grant("all-but", ("github", ("get_*",)), ("*", ("*",))),
    )
)


@pytest.fixture
def access() -> FollowedAccess:
    followed = FollowedAccess(open_without_rules=False)
    now = SystemClock().now()
    followed.remember(Pass(number=1, trigger=Trigger.START, started_at=now, finished_at=now, gateway=RULES))
    return followed


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("admin", AuditReader(sees_all=True, name="admin")),
        ("reader", AuditReader(sees_all=False, name="reader")),
        ("one", AuditReader(sees_all=False, name="one")),
        ("all-but", AuditReader(sees_all=False, name="all-but")),
        ("local", AuditReader(sees_all=True)),
    ],
)
def test_everything_is_shown_to_those_who_may_do_everything(access, token, expected):
    assert readers_of(access, "local")(f"Bearer {token}") == expected


def test_whoever_has_no_token_sees_nothing_unless_the_gateway_is_open(access):
    with pytest.raises(NotAllowed):
        readers_of(access, "")("")
    assert readers_of(FollowedAccess(open_without_rules=True), "")("").sees_all

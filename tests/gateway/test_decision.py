"""What the gateway decides from a head, without a socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decision import ClientHead, RequestRules
from gateway.problems import ProblemKind, Refused, SessionNotFound
from gateway.routing import DuplicateRoute, RouteTable
from gateway.sessions import CapsuleSealer
from gateway.settings import GatewaySettings
from tests.gateway.conftest import SESSION_KEY, upstream_at

PATH = b"/servers/time/mcp"
HOST = (b"host", b"localhost:8080")


def rules(**settings: object) -> RequestRules:
    values = GatewaySettings(session_key=SESSION_KEY, **settings)
    return RequestRules(values, RouteTable([upstream_at(1)]), CapsuleSealer(SESSION_KEY))


def kind_of(headers: list[tuple[bytes, bytes]], *, method: str = "POST", path: bytes = PATH, **settings: object):
    try:
        rules(**settings).decide(ClientHead(method=method, path=path, headers=headers))
    except Refused as refused:
        return refused.problem.kind
    return None


PUBLIC = {
    "is_bound_to_loopback": False,
    "allowed_hosts": ("gateway.example.com", "other.example.com:8443", "any.example.com:*", "[2001:db8::1]:*"),
    "allowed_origins": ("https://app.example.com", "http://dev.example.com:*"),
}


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"localhost", True),
        (b"localhost:8080", True),
        (b"LOCALHOST:8080", True),
        (b"127.0.0.1:65535", True),
        (b"[::1]:8080", True),
        (b"[::1]", True),
        (b"", False),
        (b"localhost:", False),
        (b"localhost:http", False),
        (b"localhost:123456", False),
        (b"localhost.", False),
        (b"localhost.evil.example.com", False),
        (b"evil.example.com", False),
        (b"evil.example.com:8080", False),
        (b"127.0.0.1.evil.example.com", False),
        (b"user@localhost", False),
        (b"localhost, evil.example.com", False),
        (b"::1", False),
    ],
)
def test_on_loopback_the_loopback_names_are_hosts(host, allowed):
    assert kind_of([(b"host", host)]) is (None if allowed else ProblemKind.HOST_NOT_ALLOWED)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"gateway.example.com", True),
        (b"Gateway.Example.com", True),
        (b"gateway.example.com:8080", False),
        (b"other.example.com:8443", True),
        (b"other.example.com", False),
        (b"any.example.com", True),
        (b"any.example.com:1", True),
        (b"[2001:db8::1]:443", True),
        (b"localhost", False),
        (b"127.0.0.1:8080", False),
    ],
)
def test_in_public_the_allowed_hosts_are_the_list(host, allowed):
    assert kind_of([(b"host", host)], **PUBLIC) is (None if allowed else ProblemKind.HOST_NOT_ALLOWED)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://localhost:3000", True),
        (b"https://127.0.0.1", True),
        (b"http://[::1]:5173", True),
        (b"null", False),
        (b"", False),
        (b"https://evil.example.com", False),
        (b"http://localhost.evil.example.com", False),
        (b"http://evil.example.com:3000", False),
        (b"ftp://localhost", False),
        (b"file://", False),
    ],
)
def test_on_loopback_the_loopback_origins_are_allowed(origin, allowed):
    assert kind_of([HOST, (b"origin", origin)]) is (None if allowed else ProblemKind.ORIGIN_NOT_ALLOWED)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"https://app.example.com", True),
        (b"https://APP.example.com", True),
        (b"http://app.example.com", False),
        (b"https://app.example.com:8443", False),
        (b"http://dev.example.com:3000", True),
        (b"http://localhost:3000", False),
    ],
)
def test_in_public_the_allowed_origins_are_the_list(origin, allowed):
    headers = [(b"host", b"gateway.example.com"), (b"origin", origin)]
    assert kind_of(headers, **PUBLIC) is (None if allowed else ProblemKind.ORIGIN_NOT_ALLOWED)


def test_a_star_allows_every_host_and_origin():
    headers = [(b"host", b"anything"), (b"origin", b"https://anything")]
    assert kind_of(headers, is_bound_to_loopback=False, allowed_hosts=("*",), allowed_origins=("*",)) is None


def test_a_request_without_a_host_is_refused():
    assert kind_of([]) is ProblemKind.HOST_NOT_ALLOWED


@pytest.mark.parametrize(
    ("headers", "method", "kind"),
    [
        ([(b"host", b"localhost")], "POST", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"origin", b"http://localhost"), (b"origin", b"http://localhost")], "POST", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"content-length", b"1"), (b"content-length", b"1")], "POST", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], "POST", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"transfer-encoding", b"gzip, chunked")], "POST", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"content-length", b"-1")], "POST", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"content-length", b"1_0")], "POST", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"content-length", b"9" * 30)], "POST", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"content-length", b"1")], "GET", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"transfer-encoding", b"chunked")], "DELETE", ProblemKind.AMBIGUOUS_REQUEST),
        ([(b"content-length", b"0")], "DELETE", None),
        ([(b"content-length", b"1 \t")], "POST", None),
        ([(b"content-length", b"16777216")], "POST", None),
        ([(b"content-length", b"16777217")], "POST", ProblemKind.BODY_TOO_LARGE),
        ([(b"transfer-encoding", b"Chunked")], "POST", None),
        ([(b"x", b"a" * 33_000)], "POST", ProblemKind.HEAD_TOO_LARGE),
        ([(b"x", b"a")] * 128, "POST", ProblemKind.HEAD_TOO_LARGE),
        ([], "OPTIONS", ProblemKind.METHOD_NOT_ALLOWED),
        ([], "HEAD", ProblemKind.METHOD_NOT_ALLOWED),
    ],
)
def test_what_can_be_read_in_two_ways_or_is_too_large_is_refused(headers, method, kind):
    assert kind_of([HOST, *headers], method=method) is kind


@pytest.mark.parametrize(
    ("version", "has_sessions"),
    [
        (None, True),
        (b"2024-11-05", True),
        (b"2025-03-26", True),
        (b"2025-06-18", True),
        (b"2025-11-25", True),
        (b"2026-07-28", False),
        (b"1900-01-01", False),
        (b"", False),
    ],
)
def test_only_the_legacy_revisions_have_sessions(version, has_sessions):
    headers = [HOST, (b"mcp-session-id", b"garbage")]
    if version is not None:
        headers.append((b"mcp-protocol-version", version))
    head = ClientHead(method="POST", path=PATH, headers=headers)
    if has_sessions:
        with pytest.raises(SessionNotFound):
            rules().decide(head)
    else:
        forward = rules().decide(head)
        assert (forward.session, forward.has_sessions) == (None, False)


@given(st.binary(max_size=40))
def test_every_path_is_a_known_server_or_refused(path):
    expected = None if path == PATH else {ProblemKind.NOT_FOUND, ProblemKind.UNKNOWN_SERVER}
    kind = kind_of([HOST], path=path)
    assert kind is None if expected is None else kind in expected


@given(st.lists(st.tuples(st.sampled_from([b"host", b"origin", b"content-length", b"x"]), st.binary(max_size=30))))
def test_no_head_breaks_the_rules(headers):
    kind = kind_of(headers)
    assert kind is None or isinstance(kind, ProblemKind)


def test_a_table_is_replaced_as_a_whole_and_counts_its_changes():
    table = RouteTable([upstream_at(1)])
    first = table.generation
    table.replace([upstream_at(1)])
    assert table.generation == first
    table.replace([upstream_at(1, "wiki"), upstream_at(2, "time")])
    assert table.generation == first + 1
    assert (table.find("wiki"), table.find("time")) == (upstream_at(1, "wiki"), upstream_at(2, "time"))
    table.replace([])
    assert table.find("time") is None
    assert len(table) == 0


def test_two_routes_of_one_name_are_refused_and_the_old_ones_stay():
    table = RouteTable([upstream_at(1)])
    with pytest.raises(DuplicateRoute, match="time"):
        table.replace([upstream_at(2), upstream_at(3)])
    assert table.find("time") == upstream_at(1)

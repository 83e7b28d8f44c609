"""The error table, row by row, with the texts that Fly is known to answer (notes of the field, fly-go's tests)."""

import pytest

from reconciler.core.problems import Remedy
from reconciler.core.setbacks import CAPACITY_CODES, QUOTA_CODES
from reconciler.errors import Refused
from reconciler.fly import errors
from reconciler.fly.calls import Call, Effect
from reconciler.fly.error_table import RULES
from reconciler.fly.translation import read_answer, translate

LEASED = (
    b'{"error":"aborted: machine ID 3d8d9 lease currently held by 0f5f@tokens.fly.io, expires at 2026-11-24T12:00:00Z"}'
)
EXISTS = (
    b'{"error":"already_exists: unique machine name violation, machine ID 148e21ea7e1389 already exists '
    b'with name \\"time-1\\""}'
)
HOST_FULL = (
    b'{"error":"aborted: could not reserve resource for machine: insufficient memory available to fulfill request '
    b'on the current host"}'
)
ROWS = [
    pytest.param(401, b'{"error":"Authenticate: token validation error"}', "write", errors.Unauthorized, id="401"),
    pytest.param(403, b'{"message":"Forbidden"}', "read", errors.Forbidden, id="403"),
    pytest.param(404, b"404 page not found\n", "read", errors.WrongAddress, id="404 of an unknown route"),
    pytest.param(404, b'{"error":"machine not found"}', "read", errors.NotFound, id="404 of a machine"),
    pytest.param(404, b"", "read", errors.NotFound, id="404 without a word"),
    pytest.param(400, b'{"error":"could not find app"}', "read", errors.NotFound, id="400 that means 404"),
    pytest.param(400, b'{"error":"network not found"}', "write", errors.InvalidRequest, id="400 unknown network"),
    pytest.param(400, b'{"error":"target region xx not found"}', "write", errors.InvalidRequest, id="400 region"),
    pytest.param(400, b'{"error":"invalid_argument: bad"}', "write", errors.InvalidRequest, id="400"),
    pytest.param(400, b'{"error":"MANIFEST_UNKNOWN: x"}', "write", errors.ImageNotVisible, id="400 image"),
    pytest.param(408, b'{"error":"deadline_exceeded: x"}', "wait", errors.WaitExpired, id="408 of a wait"),
    pytest.param(504, b"", "wait", errors.WaitExpired, id="504 of a wait"),
    pytest.param(408, b'{"error":"timeout"}', "write", errors.AnswerLost, id="408 of a write"),
    pytest.param(408, b'{"error":"timeout"}', "read", errors.MachinesUnavailable, id="408 of a read"),
    pytest.param(429, b"", "write", errors.Throttled, id="429"),
    pytest.param(500, b'{"error":"no capacity"}', "write", errors.AnswerLost, id="500 whatever it says"),
    pytest.param(502, b"<html>", "read", errors.MachinesUnavailable, id="502 of a read"),
    pytest.param(503, b"", "repeatable", errors.AnswerLost, id="503 of a repeatable write"),
    pytest.param(409, LEASED, "write", errors.LeaseHeld, id="409 lease"),
    pytest.param(
        409,
        b'{"status":"error","message":"lease currently held by x","code":"invalid"}',
        "write",
        errors.LeaseHeld,
        id="409 of the lease endpoint",
    ),
    pytest.param(409, EXISTS, "write", errors.AlreadyExists, id="409 name"),
    pytest.param(409, HOST_FULL, "write", errors.NoCapacity, id="409 host"),
    pytest.param(409, b"deploys to this host are temporarily disabled", "write", errors.NoCapacity, id="409 raw text"),
    pytest.param(409, b'{"error":"aborted: no capacity"}', "write", errors.NoCapacity, id="409 region"),
    pytest.param(
        409,
        b'{"error":"aborted: no capacity","status":"unknown"}',
        "write",
        errors.UnexplainedConflict,
        id="409 status outranks text",
    ),
    pytest.param(
        409,
        b'{"error":"aborted: machine update failed due to concurrent update"}',
        "write",
        errors.VersionChanged,
        id="409 concurrent",
    ),
    pytest.param(409, b'{"error":"current_version mismatch"}', "write", errors.VersionChanged, id="409 version"),
    pytest.param(409, b"", "write", errors.UnexplainedConflict, id="409 without a word"),
    pytest.param(409, b"{}", "wait", errors.UnexplainedConflict, id="409 of a wait"),
    pytest.param(
        412,
        b'{"error":"failed_precondition: machine getting replaced, refusing to start"}',
        "write",
        errors.NotReady,
        id="412",
    ),
    pytest.param(
        412, b'{"error":"x","status":"volume_placement_capacity"}', "write", errors.NoCapacity, id="412 volume"
    ),
    pytest.param(
        422,
        b'{"error":"Validation failed: Name has already been taken","status":"name_taken"}',
        "write",
        errors.NameTaken,
        id="422 name",
    ),
    pytest.param(
        422, b'{"error":"Validation failed: Name has already been taken"}', "write", errors.NameTaken, id="422 older"
    ),
    pytest.param(
        422,
        b'{"error":"Name has already been taken","status":"other"}',
        "write",
        errors.InvalidRequest,
        id="422 status outranks text",
    ),
    pytest.param(
        422, b'{"error":"uniqueness constraint violated"}', "write", errors.UnexplainedConflict, id="422 race"
    ),
    pytest.param(
        422,
        b'{"error":"could not find a candidate host","status":"insufficient_capacity"}',
        "write",
        errors.NoCapacity,
        id="422 capacity",
    ),
    pytest.param(
        422,
        b'{"error":"Your organization has reached its machine limit."}',
        "write",
        errors.LimitReached,
        id="422 limit",
    ),
    pytest.param(422, b'{"error":"Validation failed: Name under 63 chars"}', "write", errors.InvalidRequest, id="422"),
    pytest.param(302, b"", "read", errors.WrongAddress, id="redirect"),
    pytest.param(418, b"", "read", Refused, id="unknown status"),
]


def call(effect: str, **changes: object) -> Call:
    given = {"method": "POST", "path": "/v1/x", "purpose": "do it", "action": "do", "subject": "x"} | changes
    return Call(effect=Effect(effect), **given)


@pytest.mark.parametrize(("status", "body", "effect", "expected"), ROWS)
def test_every_known_answer_becomes_the_error_that_says_what_to_do(status, body, effect, expected):
    error = translate(call(effect), read_answer(status, {"fly-request-id": "01H-iad"}, body))
    assert type(error) is expected
    assert "01H-iad" in str(error)
    assert error.problem.message.startswith("could not do it")


def test_a_refused_name_tells_which_machine_holds_it():
    error = translate(call("write"), read_answer(409, {}, EXISTS))
    assert isinstance(error, errors.AlreadyExists)
    assert error.machine_id == "148e21ea7e1389"


SCOPES = [
    pytest.param(409, HOST_FULL, errors.CapacityScope.HOST, id="host"),
    pytest.param(422, b'{"status":"insufficient_capacity"}', errors.CapacityScope.REGION, id="region"),
    pytest.param(412, b'{"status":"volume_placement_capacity"}', errors.CapacityScope.VOLUME, id="volume"),
]


@pytest.mark.parametrize(("status", "body", "scope"), SCOPES)
def test_a_lack_of_room_says_where(status, body, scope):
    error = translate(call("write"), read_answer(status, {}, body))
    assert isinstance(error, errors.NoCapacity)
    assert error.scope is scope


RETRY_AFTER = [
    ({}, 1.0),
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": "86400"}, 60.0),
    ({"retry-after": "Tue, 24 Nov 2026 12:00:09 GMT", "date": "Tue, 24 Nov 2026 12:00:00 GMT"}, 9.0),
    ({"retry-after": "whenever"}, 1.0),
]


@pytest.mark.parametrize(("headers", "seconds"), RETRY_AFTER)
def test_a_requested_pause_is_read_in_both_forms_and_bounded(headers, seconds):
    error = translate(call("read"), read_answer(429, headers, b""))
    assert isinstance(error, errors.Throttled)
    assert error.retry_after_s == seconds


def test_the_answer_to_a_confidential_call_is_never_quoted():
    body = b'{"error":"invalid value hunter2 for PASSWORD"}'
    error = translate(call("write", confidential=True), read_answer(422, {}, body))
    assert "hunter2" not in str(error)


def test_a_quoted_answer_is_one_short_line():
    error = translate(call("write"), read_answer(400, {}, b"a\x1b[31m\r\n" + b"b" * 5000))
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, Remedy.FIX_ENVIRONMENT), (400, Remedy.FIX_SOURCE), (503, Remedy.WAIT)]
)
def test_an_error_says_who_can_clear_it(status, remedy):
    assert translate(call("read"), read_answer(status, {}, b"")).problem.remedy is remedy


def test_the_planner_knows_every_code_that_says_there_is_no_room():
    assert {rule.code for rule in RULES if rule.error is errors.NoCapacity} == CAPACITY_CODES
    assert {rule.code for rule in RULES if rule.error is errors.LimitReached} == QUOTA_CODES

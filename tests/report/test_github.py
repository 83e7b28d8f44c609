"""The door to GitHub over real sockets: shapes, limits, outages, and what an error may tell."""

from datetime import UTC, datetime

import httpx
import pytest

from reconciler.core.redact import Redactor
from reconciler.core.secret import SecretValue
from reconciler.errors import CatwalkError, EnvironmentFault, RateLimited, Refused, Unavailable
from reconciler.report.answers import NotFound, TokenRefused, judge
from reconciler.report.github import LARGEST_ANSWER, GitHub, PersonalToken
from reconciler.report.limits import wait_asked_for
from reconciler.report.repository import Repository
from reconciler.report.statuses import CommitStatus, StatusState

SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
REPOSITORY = Repository(host="github.com", owner="acme", name="fleet")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"


def status(**more: str):
    base = {"sha": SHA, "context": "catwalk/sync", "description": "3 servers as declared"}
    return CommitStatus(**{**base, **more}, state=StatusState.SUCCESS)


async def test_a_status_that_is_posted_is_listed(door, github):
    await door.create_status(REPOSITORY, status(target_url="https://c.dev/revisions/a1b2"))
    assert await door.statuses(REPOSITORY, SHA) == [status(target_url="https://c.dev/revisions/a1b2")]
    assert github.states("catwalk/sync") == ["success"]


async def test_an_empty_link_is_left_out(door, github):
    await door.create_status(REPOSITORY, status())
    assert github.posted[0]["target_url"] is None


async def test_a_list_longer_than_a_page_is_read_to_its_end(door, github):
    for number in range(230):
        github.posted.append({"sha": SHA, "state": "pending", "context": f"c{number}", "description": None})
    listed = await door.statuses(REPOSITORY, SHA)
    assert [one.context for one in listed] == [f"c{number}" for number in reversed(range(230))]


async def test_access_tells_whether_the_token_may_push(door):
    access = await door.access(REPOSITORY)
    assert (access.full_name, access.can_push) == ("acme/fleet", True)


async def test_an_enterprise_address_keeps_its_path(make_loopback, clock):
    github, url = make_loopback()
    async with GitHub(f"{url}/api/v3", PersonalToken(SecretValue(TOKEN)), clock) as door:
        with pytest.raises(EnvironmentFault):
            await door.access(REPOSITORY)
    assert github.seen[0][1] == "/api/v3/repos/acme/fleet"


ANSWERS = [
    pytest.param(401, {}, {"message": "Bad credentials"}, TokenRefused, "Bad credentials", id="bad token"),
    pytest.param(403, {"x-accepted-github-permissions": "statuses=write"}, {"message": "Resource not accessible"},
                 EnvironmentFault, "statuses=write", id="missing permission"),
    pytest.param(404, {}, {"message": "Not Found"}, NotFound, "must see the repository", id="hidden"),
    pytest.param(422, {}, {"message": "Validation Failed", "errors": [{"message": "description is too long"}]},
                 Refused, "description is too long", id="invalid"),
    pytest.param(422, {}, {"message": "Validation Failed", "errors": ["No commit found"]}, Refused, "No commit found",
                 id="errors as texts"),
    pytest.param(500, {}, b"<html>oops</html>", Unavailable, "500", id="outage"),
    pytest.param(502, {}, {"message": "Server Error"}, Unavailable, "Server Error", id="bad gateway"),
    pytest.param(403, {"retry-after": "7"}, {}, RateLimited, "7 s", id="retry after"),
    pytest.param(403, {}, {"message": "You have exceeded a secondary rate limit."}, RateLimited, "60", id="secondary"),
    pytest.param(429, {}, b"", RateLimited, "60 s", id="too many"),
    pytest.param(200, {}, b"<html>maintenance</html>", Unavailable, "another shape", id="page of a proxy"),
    pytest.param(200, {}, b" " * (LARGEST_ANSWER + 1), Unavailable, "larger than expected", id="endless answer"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "headers", "body", "kind", "words"), ANSWERS)
async def test_answers_become_errors_that_tell_what_to_do(door, github, canned, code, headers, body, kind, words):
    github.faults.append(canned(code, headers, body))
    with pytest.raises(CatwalkError) as fault:
        await door.access(REPOSITORY)
    assert type(fault.value) is kind
    assert words in str(fault.value)
    assert TOKEN not in repr(fault.value.problem)


async def test_a_server_that_does_not_answer_in_time_is_unavailable(loopback, clock):
    github, url = loopback
    github.release.clear()
    async with GitHub(url, PersonalToken(SecretValue(TOKEN)), clock, read_timeout_s=0.1) as door:
        with pytest.raises(Unavailable, match="ReadTimeout"):
            await door.access(REPOSITORY)
    github.release.set()


async def test_a_refused_connection_is_unavailable(clock, unused_port):
    async with GitHub(f"http://127.0.0.1:{unused_port}", PersonalToken(SecretValue(TOKEN)), clock) as door:
        with pytest.raises(Unavailable, match="ConnectError"):
            await door.access(REPOSITORY)


async def test_a_redirect_to_another_host_does_not_carry_the_token(loopback, make_loopback, door, canned):
    other, other_url = make_loopback()
    loopback[0].faults.append(canned(301, {"location": f"{other_url}/repos/acme/fleet"}))
    with pytest.raises(EnvironmentFault):
        await door.access(REPOSITORY)
    assert "authorization" not in other.seen[0][2]


async def test_a_repository_that_moved_is_followed(github, door, canned):
    github.faults.append(canned(301, {"location": "/repos/acme/fleet"}))
    assert (await door.access(REPOSITORY)).full_name == "acme/fleet"


@pytest.mark.parametrize("url", ["http://api.github.com", "http://10.0.0.1", "ftp://x", "", "https://", "https://[x"])
def test_a_token_never_travels_in_the_clear(url, clock):
    with pytest.raises(EnvironmentFault, match="no https URL"):
        GitHub(url, PersonalToken(SecretValue(TOKEN)), clock)


def test_a_token_that_github_repeats_is_masked_before_the_text_is_cut():
    echoed = httpx.Response(400)
    body = ('{"message": "' + "x" * 190 + TOKEN + '"}').encode()
    told = str(judge(echoed, body, Redactor([SecretValue(TOKEN)]), now=NOW))
    assert "ghp_" not in told


LIMITS = [
    pytest.param(403, {"retry-after": "30"}, "", 30.0, id="retry-after in seconds"),
    pytest.param(403, {"retry-after": "0"}, "", 1.0, id="never at once"),
    pytest.param(429, {"retry-after": "999999"}, "", 3600.0, id="never for days"),
    pytest.param(429, {"retry-after": "Tue, 24 Nov 2026 00:00:09 GMT"}, "", 60.0, id="a date counts as unknown"),
    pytest.param(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 90)}, "", 90.0,
                 id="primary limit"),
    pytest.param(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, "", 60.0, id="unreadable reset"),
    pytest.param(403, {"x-ratelimit-remaining": "0"}, "", 60.0, id="no reset"),
    pytest.param(403, {"retry-after": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9999999999"}, "", 5.0,
                 id="retry-after wins"),
    pytest.param(403, {"x-ratelimit-remaining": "12"}, "Resource not accessible", None, id="no limit at all"),
    pytest.param(403, {}, "You have triggered an abuse detection mechanism", 60.0, id="old secondary words"),
    pytest.param(503, {"retry-after": "30"}, "", None, id="an outage is no limit"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "headers", "message", "expected"), LIMITS)
def test_limits_are_read_as_github_documents_them(code, headers, message, expected):
    assert wait_asked_for(code, httpx.Headers(headers), message, now=NOW) == expected

"""Webhooks that failed, and pull requests that nobody told of."""

import re
from datetime import timedelta

import pytest

from reconciler.errors import EnvironmentFault, RateLimited
from reconciler.loop.ports import Proposal
from reconciler.report.missed import MOST_REDELIVERED, FailedDeliveries, OpenPulls

ATTEMPT = re.compile(r"/app/hook/deliveries/(\d+)/attempts")


class Deliveries:
    """The webhook of the App at the stand-in."""

    def __init__(self, canned, clock) -> None:
        self.canned, self.clock = canned, clock
        self.listed: list[dict[str, object]] = []
        self.asked: list[int] = []
        self.pulls: list[dict[str, object]] = []
        self.queries: list[str] = []

    def add(self, number: int, code: int, *, guid: str = "", event: str = "push", age_h: float = 1) -> None:
        at = (self.clock.now() - timedelta(hours=age_h)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.listed.insert(0, {
            "id": number, "guid": guid or f"guid-{number}", "delivered_at": at, "redelivery": False, "duration": 0.3,
            "status": "OK" if code == 202 else "Bad Gateway", "status_code": code, "event": event, "action": None,
            "installation_id": 99, "repository_id": 1, "throttled_at": None,
        })  # fmt: skip

    def route(self, _method, path, headers, _body):
        if path.startswith("/repos/acme/fleet/pulls?"):
            self.queries.append(path)
            return self.canned(200, body=self.pulls)
        if not path.startswith("/app/hook/"):
            return None
        assert headers["authorization"].startswith("Bearer ey"), "it is the App itself that asks"
        if match := ATTEMPT.fullmatch(path):
            self.asked.append(int(match[1]))
            return self.canned(202, body={})
        return self.canned(200, body=self.listed)


@pytest.fixture
def deliveries(github, canned, clock):
    made = Deliveries(canned, clock)
    github.routes.insert(0, made.route)
    return made


@pytest.fixture
def failed(installation, pace, clock) -> FailedDeliveries:
    return FailedDeliveries(installation, pace, clock)


async def test_what_never_arrived_is_asked_for_once_and_oldest_first(deliveries, failed):
    deliveries.add(1, 202)
    deliveries.add(2, 502, age_h=5)
    deliveries.add(3, 0, age_h=2)
    assert await failed.ask_again() == 2
    assert deliveries.asked == [2, 3]


async def test_what_arrived_at_another_attempt_is_not_asked_for(deliveries, failed):
    deliveries.add(1, 502, guid="a", age_h=5)
    deliveries.add(2, 202, guid="a", age_h=4)
    deliveries.add(3, 500, guid="b", age_h=3)
    deliveries.add(4, 500, guid="b", age_h=2)
    assert await failed.ask_again() == 1
    assert deliveries.asked == [4], "the newest attempt of the only one that never arrived"


async def test_what_nothing_follows_from_or_is_too_old_is_left(deliveries, failed):
    deliveries.add(1, 502, event="star")
    deliveries.add(2, 502, age_h=73)
    assert await failed.ask_again() == 0


async def test_there_is_a_bound(deliveries, failed):
    for number in range(60):
        deliveries.add(number, 502, age_h=60 - number)
    assert await failed.ask_again() == MOST_REDELIVERED
    assert deliveries.asked == list(range(60 - MOST_REDELIVERED, 60))


async def test_a_limit_ends_the_asking(deliveries, failed, github, canned):
    deliveries.add(1, 502)
    github.faults += [canned(403, headers={"retry-after": "60"})]
    with pytest.raises(RateLimited):
        await failed.ask_again()


def pull(number: int, base: str = "main") -> dict[str, object]:
    head = {"sha": f"{number:040x}", "ref": "feature"}
    return {"number": number, "head": head, "base": {"sha": "b" * 40, "ref": base}}


async def test_heads_of_open_pull_requests_are_found(deliveries, app_door, repository):
    deliveries.pulls = [pull(12), pull(13, base="next")]
    found = await OpenPulls(app_door, repository).proposals("main")
    assert found == [Proposal(number=12, commit=f"{12:040x}", ref="refs/pull/12/head")]
    assert "state=open&base=main" in deliveries.queries[0]


async def test_who_may_not_see_pull_requests_is_told_so(github, canned, app_door, repository, desk):
    refusal = canned(403, body={"message": "Resource not accessible by integration"})
    github.routes.insert(0, lambda _, path, *__: refusal if "/pulls?" in path else None)
    with pytest.raises(EnvironmentFault):
        await OpenPulls(app_door, repository).proposals("main")


async def test_a_changed_installation_gets_a_new_token(installation, desk):
    first = await installation.token()
    assert (await installation.token()).reveal() == first.reveal()
    desk.permissions = {"statuses": "write"}
    installation.forget()
    assert (await installation.token()).reveal() != first.reveal()
    assert await installation.permissions() == {"statuses": "write"}

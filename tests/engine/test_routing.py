"""Which machine gets a request."""

import pytest

from reconciler.engine.proxy.routing import Candidate, Demand, Hold, Limits, Nobody, Readiness, Send, Wake, decide

READY, COMING, LEAVING, ASLEEP, OUT = Readiness

MISSED = Send(machine_id="b", preferred_missed=True)


def one(name, readiness, load=0, region="", **limits: int):
    return Candidate(machine_id=name, readiness=readiness, load=load, region=region, limits=Limits(**limits))


@pytest.mark.parametrize(
    ("candidates", "demand", "expected"),
    [
        ([], Demand(), "PR03"),
        ([one("a", OUT)], Demand(), "PR01"),
        ([one("a", READY)], Demand(), Send(machine_id="a")),
        ([one("a", READY, 3), one("b", READY, 1)], Demand(), Send(machine_id="b")),
        ([one("a", READY), one("b", COMING)], Demand(), Send(machine_id="a")),
        ([one("a", OUT), one("b", COMING)], Demand(), Hold(coming=frozenset("b"))),
        ([one("a", ASLEEP), one("b", COMING)], Demand(), Hold(coming=frozenset("b"))),
        ([one("a", LEAVING)], Demand(), Hold()),
        ([one("a", LEAVING), one("b", ASLEEP)], Demand(), Wake(machine_id="b")),
        ([one("a", ASLEEP), one("b", OUT)], Demand(), Wake(machine_id="a")),
        ([one("a", READY)], Demand(forced="x"), "PR02"),
        ([one("a", READY), one("b", OUT)], Demand(forced="b"), "PR01"),
        ([one("a", READY), one("b", ASLEEP)], Demand(forced="b"), Wake(machine_id="b")),
        ([one("a", READY), one("b", READY, 9)], Demand(preferred="b"), Send(machine_id="b")),
        ([one("a", READY), one("b", COMING)], Demand(preferred="b"), Send(machine_id="a", preferred_missed=True)),
        ([one("a", ASLEEP), one("b", ASLEEP)], Demand(preferred="b"), Wake(machine_id="b")),
        ([one("a", READY, 5, soft=5), one("b", READY, 9, soft=10)], Demand(), Send(machine_id="b")),
        (
            [one("a", READY, 5, soft=5), one("b", ASLEEP), one("c", ASLEEP)],
            Demand(),
            Send(machine_id="a", reinforcement="b"),
        ),
        ([one("a", READY, 5, soft=5), one("b", ASLEEP), one("c", COMING)], Demand(), Send(machine_id="a")),
        ([one("a", READY, 5, soft=5), one("b", ASLEEP)], Demand(forced="a"), Send(machine_id="a")),
        ([one("a", READY, 5, soft=5), one("b", READY)], Demand(preferred="a"), Send(machine_id="a")),
        ([one("a", READY, 2, hard=2), one("b", READY, 1, hard=2)], Demand(preferred="a"), MISSED),
        ([one("a", READY, 2, hard=2)], Demand(), Hold(full=True)),
        ([one("a", READY, 2, hard=2), one("b", ASLEEP)], Demand(), Wake(machine_id="b")),
        (
            [one("a", READY, 2, hard=2), one("b", COMING), one("c", ASLEEP)],
            Demand(),
            Hold(coming=frozenset("b"), full=True),
        ),
        ([one("a", READY, 0, "ams"), one("b", READY, 7, "fra")], Demand(regions=("fra",)), Send(machine_id="b")),
        ([one("a", READY, 0, "ams")], Demand(regions=("fra",)), Send(machine_id="a")),
        ([one("a", READY, 0, "ams")], Demand(regions=("fra",), regions_only=True), "PR03"),
        ([one("a", READY, 0, "ams")], Demand(regions=("fra", "any"), regions_only=True), Send(machine_id="a")),
        ([one("a", READY), one("b", READY, 3)], Demand(excluded="a"), Send(machine_id="b")),
        ([one("a", READY)], Demand(excluded="a"), "PR03"),
    ],
    ids=[
        "no-machine",
        "all-unwell",
        "one-ready",
        "least-busy",
        "ready-before-coming",
        "wait-for-coming",
        "one-is-coming-already",
        "one-is-leaving",
        "another-sleeps-already",
        "wake",
        "forced-missing",
        "forced-unwell-has-no-fallback",
        "forced-asleep-is-woken",
        "preferred",
        "preferred-missed",
        "preferred-is-woken",
        "below-soft-limit-before-less-busy",
        "above-soft-limit-one-more-is-started",
        "one-is-coming-as-reinforcement",
        "forced-needs-no-reinforcement",
        "preferred-above-soft-limit",
        "preferred-is-full",
        "full",
        "full-wakes-another",
        "full-and-one-is-coming",
        "nearer-region",
        "preferred-region-is-no-must",
        "forced-region-is-a-must",
        "any-region-at-last",
        "elsewhere",
        "elsewhere-is-nowhere",
    ],
)
def test_the_request_goes_where_fly_proxy_would_send_it(candidates, demand, expected):
    decision = decide(candidates, demand)
    if isinstance(expected, str):
        assert isinstance(decision, Nobody)
        assert decision.code == expected
    else:
        assert decision == expected

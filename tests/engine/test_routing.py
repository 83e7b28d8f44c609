"""Which machine gets a request."""

import pytest

from reconciler.engine.proxy.routing import Candidate, Demand, Hold, Nobody, Readiness, Send, Wake, decide

READY, COMING, ASLEEP, OUT = Readiness.READY, Readiness.COMING, Readiness.ASLEEP, Readiness.OUT


def one(name, readiness, load=0):
    return Candidate(machine_id=name, readiness=readiness, load=load)


@pytest.mark.parametrize(
    ("candidates", "demand", "expected"),
    [
        ([], Demand(), "PR03"),
        ([one("a", OUT)], Demand(), "PR01"),
        ([one("a", READY)], Demand(), Send(machine_id="a")),
        ([one("a", READY, 3), one("b", READY, 1)], Demand(), Send(machine_id="b")),
        ([one("a", READY), one("b", COMING)], Demand(), Send(machine_id="a")),
        ([one("a", OUT), one("b", COMING)], Demand(), Hold()),
        ([one("a", ASLEEP), one("b", COMING)], Demand(), Hold()),
        ([one("a", ASLEEP), one("b", OUT)], Demand(), Wake(machine_id="a")),
        ([one("a", READY)], Demand(forced="x"), "PR02"),
        ([one("a", READY), one("b", OUT)], Demand(forced="b"), "PR01"),
        ([one("a", READY), one("b", ASLEEP)], Demand(forced="b"), Wake(machine_id="b")),
        ([one("a", READY), one("b", READY, 9)], Demand(preferred="b"), Send(machine_id="b")),
        ([one("a", READY), one("b", COMING)], Demand(preferred="b"), Send(machine_id="a", preferred_missed=True)),
        ([one("a", ASLEEP), one("b", ASLEEP)], Demand(preferred="b"), Wake(machine_id="b")),
    ],
    ids=[
        "no-machine",
        "all-unwell",
        "one-ready",
        "least-busy",
        "ready-before-coming",
        "wait-for-coming",
        "one-is-coming-already",
        "wake",
        "forced-missing",
        "forced-unwell-has-no-fallback",
        "forced-asleep-is-woken",
        "preferred",
        "preferred-missed",
        "preferred-is-woken",
    ],
)
def test_the_request_goes_where_fly_proxy_would_send_it(candidates, demand, expected):
    decision = decide(candidates, demand)
    if isinstance(expected, str):
        assert isinstance(decision, Nobody)
        assert decision.code == expected
    else:
        assert decision == expected

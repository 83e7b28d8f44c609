"""Check runs where every call may fail before or after it did its work, or end the process: the end is right."""

import json
import math

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.errors import RateLimited, Unavailable
from reconciler.report.checks import RepositoryChecks
from reconciler.report.details import Annotation, CheckDetails
from reconciler.report.letters import MOST_POSTS
from reconciler.report.outbox import Outbox
from reconciler.report.pace import Pace
from reconciler.report.statuses import CommitStatus, StatusState
from reconciler.report.stores import MemoryOutboxStore

SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
MARKS = tuple(Annotation(path="catwalk.yaml", line=line, message="wrong") for line in range(1, 121))
CONCLUSIONS = {"pending": None, "success": "success", "failure": "failure", "error": "action_required"}


class Killed(BaseException):
    """The process ends here."""


class TreacherousGitHub:
    """Check runs in a list, without sockets between."""

    def __init__(self, draw) -> None:
        self.draw, self.runs = draw, []
        self.lines: dict[int, list[int]] = {}

    async def call(self, method, path, *, body=None):
        self._perhaps_fail(["fine"] * 5 + ["limit", "outage", "killed"])
        if method == "GET":
            page = int(path.partition("&page=")[2].partition("&")[0])
            answer = {"check_runs": list(reversed(self.runs)) if page == 1 else []}
        else:
            answer = self._write(method, path, json.loads(json.dumps(body)))
            self._perhaps_fail(["fine"] * 5 + ["outage", "killed"])
        return json.dumps(answer).encode()

    def _write(self, method, path, body):
        if method == "POST":
            self.runs.append({"id": len(self.runs) + 1, "conclusion": None, "app": {"id": 4711}})
        run = self.runs[-1] if method == "POST" else self.runs[int(path.rpartition("/")[2]) - 1]
        assert run["conclusion"] is None, "what has ended is not written again"
        marks = body["output"].pop("annotations", [])
        assert len(marks) <= 50
        lines = self.lines.setdefault(run["id"], [])
        lines += [mark["start_line"] for mark in marks]
        run |= {key: value for key, value in body.items() if key != "output"}
        run["output"] = {**body["output"], "annotations_count": len(lines)}
        return run

    def _perhaps_fail(self, ways):
        match self.draw(st.sampled_from(ways)):
            case "limit":
                raise RateLimited("github-rate-limited", "wait")
            case "outage":
                raise Unavailable("github-unavailable", "502")
            case "killed":
                raise Killed
            case _:
                return


def wish(state):
    details = CheckDetails(summary="s", annotations=MARKS) if state == "failure" else None
    return CommitStatus(
        sha=SHA, context="catwalk/sync", state=StatusState(state), description=f"it is {state}", details=details
    )  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), states=st.lists(st.sampled_from(list(CONCLUSIONS)), min_size=1, max_size=4))
def test_whatever_fails_the_last_wish_stands_and_nothing_is_said_twice(clock, repository, data, states):
    github = TreacherousGitHub(data.draw)
    anyio.run(through_failures, github, clock, repository, states, backend="asyncio")
    newest = github.runs[-1]
    assert (newest["conclusion"], newest["output"]["title"]) == (CONCLUSIONS[states[-1]], f"it is {states[-1]}")
    assert len(github.runs) <= MOST_POSTS
    assert all(run["conclusion"] for run in github.runs[:-1]), "only the newest may be open"
    if states[-1] == "failure":
        assert sorted(github.lines[newest["id"]]) == [mark.line for mark in MARKS]


async def through_failures(github, clock, repository, states):
    async def sleep(seconds: float) -> None:
        clock.forward(seconds)

    def process():
        checks = RepositoryChecks(github, repository, Pace(clock, sleep=sleep), app_id="4711")
        return Outbox(checks, store, clock)

    store = MemoryOutboxStore()
    outbox = process()
    for state in states:
        await outbox.want([wish(state)])
        for _ in range(500):
            try:
                delay_s = await outbox.step()
            except Killed:
                outbox = process()
                continue
            if delay_s == math.inf:
                break
            clock.forward(delay_s)

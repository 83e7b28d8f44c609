"""A comment where every call and every write of the store may fail before or after its work, or end the process."""

import json
import math

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.errors import RateLimited, Unavailable
from reconciler.report.courier import Courier
from reconciler.report.messages import Wish
from reconciler.report.pace import Pace
from reconciler.report.proposals import COMMENT, CommentChannel

BEFORE = ["fine"] * 5 + ["limit", "outage", "killed"]
AFTER = ["fine"] * 5 + ["outage", "killed"]


class Killed(BaseException):
    """The process ends here."""


class Fate:
    """What happens at each step."""

    def __init__(self, draw) -> None:
        self.draw = draw

    def decide(self, ways) -> None:
        match self.draw(st.sampled_from(ways)):
            case "limit":
                raise RateLimited("github-rate-limited", "wait")
            case "outage":
                raise Unavailable("github-unavailable", "502")
            case "killed":
                raise Killed
            case _:
                return


class TreacherousGitHub:
    """Comments of one pull request in a list, without sockets between."""

    def __init__(self, fate: Fate) -> None:
        self.fate, self.comments, self.said = fate, [], []

    async def call(self, method, path, *, body=None):
        self.fate.decide(BEFORE)
        if method == "GET":
            return json.dumps(self.comments if path.endswith("page=1") else []).encode()
        if method == "POST":
            self.comments.append({"id": len(self.comments) + 1, "user": {"login": "catwalk[bot]"}})
        written = self.comments[-1 if method == "POST" else int(path.rpartition("/")[2]) - 1]
        written["body"] = body["body"]
        self.said.append(body["body"].splitlines()[1])
        self.fate.decide(AFTER)
        return b"{}"


class TreacherousShelf:
    """A shelf of a store: what was saved is there, whether or not the process lives to know."""

    def __init__(self, fate: Fate) -> None:
        self.fate, self.texts = fate, {}

    async def load(self):
        return list(self.texts.items())

    async def save(self, texts):
        self.fate.decide(["fine"] * 5 + ["killed"])
        self.texts.update(texts)
        self.fate.decide(["fine"] * 5 + ["killed"])

    async def forget(self, keys):
        for key in keys:
            self.texts.pop(key, None)


class Bot:
    async def login(self) -> str:
        return "catwalk[bot]"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), words=st.lists(st.sampled_from(["add time", "add clock", "refused"]), min_size=1, max_size=4))
def test_whatever_fails_there_is_one_comment_and_it_says_the_last_word(clock, repository, data, words):
    fate = Fate(data.draw)
    github, shelf = TreacherousGitHub(fate), TreacherousShelf(fate)
    anyio.run(through_failures, github, shelf, clock, repository, words, backend="asyncio")
    assert len(github.comments) == 1, "a lost answer makes no second comment"
    assert github.said[-1] == words[-1]
    told = [word for place, word in enumerate(github.said) if not place or word != github.said[place - 1]]
    assert told == github.said, "nothing is written that stands already"
    places = iter(words)
    assert all(word in places for word in github.said), "what came later is never told before what came earlier"


async def through_failures(github, shelf, clock, repository, words):
    async def sleep(seconds: float) -> None:
        clock.forward(seconds)

    def process() -> Courier:
        pace = Pace(clock, sleep=sleep)
        channel = CommentChannel(github, repository, Bot(), pace, fleet=lambda: "acme")
        return Courier({COMMENT: channel}, shelf, clock)

    courier = process()
    for word in words:
        wanted = False
        for _ in range(500):
            try:
                if not wanted:
                    await courier.want([Wish(channel=COMMENT, subject="pull/12", text=word)])
                    wanted = True
                delay_s = await courier.step()
            except Killed:
                courier, wanted = process(), False
                continue
            if delay_s == math.inf:
                break
            clock.forward(delay_s)

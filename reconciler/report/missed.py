"""What webhooks should have told and did not: failed deliveries, and pull requests that were opened meanwhile.

GitHub does not send a failed delivery again by itself (docs, "Handling failed webhook deliveries"); an App may ask for
it. Whoever has no App finds pull requests by their list, and commits by the poll of the repository.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError

from reconciler.loop.ports import Clock, Proposal
from reconciler.report.answers import unreadable
from reconciler.report.credentials import AppInstallation
from reconciler.report.github import GitHub
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository

EVENTS: Final = frozenset({"push", "pull_request", "merge_group", "check_run", "check_suite", "installation"})
"""Events that anything follows from."""
MOST_AGE: Final = timedelta(days=3)
"""GitHub sends no older delivery again (REST docs, "Redeliver a delivery for an app webhook")."""
MOST_REDELIVERED: Final = 30
"""At one start: what is older is found by polling."""
LISTED: Final = 100
"""The newest deliveries, and pull requests, that are looked through: one page."""


Listed = TypeVar("Listed")


class _Attempt(BaseModel):
    """One attempt to deliver (REST docs, "List deliveries for an app webhook")."""

    id: int
    guid: str
    delivered_at: AwareDatetime
    status_code: int
    event: str


class _Ref(BaseModel):
    sha: str
    ref: str


class _Pull(BaseModel):
    """The members of a pull request that are read (REST docs, "List pull requests")."""

    number: int
    head: _Ref
    base: _Ref


_ATTEMPTS: Final = TypeAdapter(list[_Attempt])
_PULLS: Final = TypeAdapter(list[_Pull])


class FailedDeliveries:
    """The webhook of an App."""

    def __init__(self, installation: AppInstallation, pace: Pace, clock: Clock) -> None:
        self._installation, self._pace, self._clock = installation, pace, clock

    async def ask_again(self) -> int:
        """Asks for every delivery of the last days that never arrived; how many there were.

        Raises:
            CatwalkError: see `GitHub.create_status`.
        """
        content = await self._installation.as_app("GET", f"/app/hook/deliveries?per_page={LISTED}")
        attempts = _read(_ATTEMPTS, content)
        failed = never_arrived(attempts, since=self._clock.now() - MOST_AGE)
        for attempt in failed:
            async with self._pace.turn():
                await self._installation.as_app("POST", f"/app/hook/deliveries/{attempt}/attempts")
        return len(failed)


def never_arrived(attempts: Iterable[_Attempt], *, since: datetime) -> list[int]:
    """The newest attempt at each delivery that no attempt brought here, oldest delivery first."""
    arrived, newest = set[str](), dict[str, _Attempt]()
    for attempt in attempts:
        newest.setdefault(attempt.guid, attempt)
        if 200 <= attempt.status_code < 300:
            arrived.add(attempt.guid)
    wanted = [one for one in newest.values() if one.guid not in arrived and one.event in EVENTS]
    recent = sorted((one for one in wanted if one.delivered_at >= since), key=lambda one: one.delivered_at)
    return [one.id for one in recent[-MOST_REDELIVERED:]]


class OpenPulls:
    """The open pull requests of a repository."""

    def __init__(self, github: GitHub, repository: Repository) -> None:
        self._github, self._repository = github, repository

    async def proposals(self, branch: str) -> Sequence[Proposal]:
        """The heads that are to be merged into a branch, the one that changed last first.

        Raises:
            CatwalkError: see `GitHub.create_status`; it needs `Pull requests: read`.
        """
        query = f"state=open&base={quote(branch, safe='')}&sort=updated&direction=desc&per_page={LISTED}"
        content = await self._github.call("GET", f"/repos/{self._repository.full_name}/pulls?{query}")
        return [
            Proposal(number=pull.number, commit=pull.head.sha, ref=f"refs/pull/{pull.number}/head")
            for pull in _read(_PULLS, content)
            if pull.base.ref == branch
        ]


def _read(adapter: TypeAdapter[Listed], content: bytes) -> Listed:
    try:
        return adapter.validate_json(content)
    except ValidationError as fault:
        raise unreadable(fault) from fault

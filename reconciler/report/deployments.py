"""What stands on a revision as a GitHub deployment, for whoever wants GitHub's own page of environments. Opt-in.

The outbox writes deployments as it writes statuses: a letter of the context `deployment/{environment}` is the newest
status of the one deployment that a revision has in that environment. So everything that holds for statuses holds here:
durable before it is sent, in turn, spaced, limited, six posts at most, and GitHub's own list decides what stands.

Ours are those of the task `catwalk`: other programs make deployments in environments too, and act on theirs.
Deployments are an extra, so that what goes wrong with them never keeps a status from its commit: a token that may not
write them is told of once, and asked no more while this process lives.

Source: REST docs, "Deployments" and "Deployment statuses".
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import quote

import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError

from reconciler.errors import CatwalkError, Conflict, EnvironmentFault, RateLimited, Refused, Unavailable
from reconciler.report.answers import NotFound, ToldAlready, unreadable
from reconciler.report.connection import Body, read
from reconciler.report.github import GitHub
from reconciler.report.outbox import StatusService
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository
from reconciler.report.statuses import (
    DEPLOYMENT_PREFIX,
    CommitStatus,
    StatusState,
    is_deployment,
    is_superseded,
    superseded_by,
)

TASK: Final = "catwalk"
PAGE_SIZE: Final = 100
"""Of one revision there is one deployment with six statuses of ours: a second page is never read."""
MOST_KNOWN: Final = 64
"""Deployments that are remembered; older ones are looked up again."""
PRODUCTION: Final = frozenset({"", "production", "prod"})
"""Overlays that make production of an environment. A fleet without overlays is what people use."""
NOT_MADE: Final = 0
"""The number of a deployment that GitHub's list does not have."""

_STATES: Final = {
    StatusState.PENDING: "in_progress",
    StatusState.SUCCESS: "success",
    StatusState.FAILURE: "failure",
    StatusState.ERROR: "error",
}
_READ: Final = {
    "success": StatusState.SUCCESS,
    "failure": StatusState.FAILURE,
    "error": StatusState.FAILURE,
}
"""Others (`queued`, `pending`, `in_progress`) answered nothing yet; `inactive` is what a newer revision leaves."""
_INACTIVE: Final = "inactive"
_BY_SOMEBODY: Final = superseded_by("another deployment")

_log = structlog.get_logger(__name__)


class _Deployment(BaseModel):
    """The members of a deployment that are read; others may come."""

    id: int
    sha: str
    task: str
    environment: str


class _Status(BaseModel):
    """The members of a deployment status that are read."""

    id: int
    state: str
    description: str | None = None
    log_url: str | None = None


_DEPLOYMENTS: Final = TypeAdapter(list[_Deployment])
_STATUSES: Final = TypeAdapter(list[_Status])
_One = TypeVar("_One", bound=BaseModel)
_Key = tuple[str, str]
"""Commit and environment."""


class RepositoryDeployments:
    """The deployments of one fleet in one repository. Implements `StatusService` for contexts of deployments."""

    def __init__(self, github: GitHub, repository: Repository, pace: Pace, *, environment: Callable[[], str]) -> None:
        """`environment` names the one that is listed; empty while the fleet has no name yet."""
        self._github, self._pace, self._environment = github, pace, environment
        self._path = f"/repos/{repository.full_name}/deployments"
        self._known: dict[_Key, int] = {}
        self._denied: ToldAlready | None = None

    async def statuses(self, sha: str) -> Sequence[CommitStatus]:
        """What our deployment of a commit says, newest first.

        Raises:
            CatwalkError: see `GitHub.create_status`.
        """
        environment = self._environment()
        return await self._listed(sha, environment) if environment else ()

    async def post(self, status: CommitStatus) -> None:
        """Says it, in a deployment that is made where there is none; what was never made needs no end.

        Raises:
            CatwalkError: see `GitHub.create_status`. After `Unavailable`, `statuses` tells what stands.
        """
        key = (status.sha, status.context.removeprefix(DEPLOYMENT_PREFIX))
        if key not in self._known and await self._listed(*key):
            raise Unavailable("github-unread", "a deployment was not read yet", hint="it is tried again by itself")
        number = self._known.pop(key, NOT_MADE)
        if number == NOT_MADE:
            if is_superseded(status):
                return
            number = await self._create(status)
        self._remember(key, number)
        async with self._pace.turn():
            await self._call("POST", f"{self._path}/{number}/statuses", body=status_body(status))

    async def _create(self, status: CommitStatus) -> int:
        async with self._pace.turn():
            return read(_Deployment, await self._call("POST", self._path, body=deployment_body(status))).id

    async def _listed(self, sha: str, environment: str) -> Sequence[CommitStatus]:
        self._known.pop((sha, environment), None)
        number = await self._find(sha, environment)
        found: list[_Status] = []
        if number != NOT_MADE:
            path = f"{self._path}/{number}/statuses?per_page={PAGE_SIZE}"
            found = _read_list(_STATUSES, await self._call("GET", path))
        self._remember((sha, environment), number)
        newest_first = sorted(found, key=lambda one: one.id, reverse=True)
        return [_commit_status(sha, environment, one) for one in newest_first]

    async def _find(self, sha: str, environment: str) -> int:
        """Ours; the oldest where a lost answer made two."""
        query = f"sha={sha}&environment={quote(environment, safe='')}&task={TASK}&per_page={PAGE_SIZE}"
        listed = _read_list(_DEPLOYMENTS, await self._call("GET", f"{self._path}?{query}"))
        own = [one.id for one in listed if (one.sha, one.environment, one.task) == (sha, environment, TASK)]
        return min(own, default=NOT_MADE)

    async def _call(self, method: str, path: str, *, body: Body | None = None) -> bytes:
        """One call, unless an earlier one has shown that it is in vain."""
        if self._denied is not None:
            raise self._denied
        try:
            return await self._github.call(method, path, body=body)
        except EnvironmentFault as fault:
            if isinstance(fault, NotFound) and path.endswith("/statuses"):
                raise Refused("github-deployment-gone", "somebody has removed the deployment at GitHub") from fault
            if fault.problem.code != "github-not-permitted":
                raise
            self._denied = _denied(fault)
            _log.warning("deployments_not_permitted", problem=str(self._denied))
            raise self._denied from fault

    def _remember(self, key: _Key, number: int) -> None:
        self._known[key] = number
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]


class WithDeployments:
    """Statuses or check runs, and deployments besides: what one outbox writes to. Implements `StatusService`."""

    __slots__ = ("_deployments", "_statuses")

    def __init__(self, statuses: StatusService, deployments: StatusService) -> None:
        self._statuses, self._deployments = statuses, deployments

    async def statuses(self, sha: str) -> Sequence[CommitStatus]:
        """Both. Where deployments cannot be read the others are given: `post` reads them before it makes any."""
        found = await self._statuses.statuses(sha)
        try:
            return [*found, *await self._deployments.statuses(sha)]
        except (RateLimited, Conflict):
            raise
        except CatwalkError as fault:
            _log.info("deployments_unread", commit=sha, problem=str(fault))
            return found

    async def post(self, status: CommitStatus) -> None:
        service = self._deployments if is_deployment(status) else self._statuses
        await service.post(status)


def deployment_body(status: CommitStatus) -> dict[str, object]:
    """What makes a deployment. By default GitHub would merge branches into the commit and wait for all its checks."""
    environment = status.context.removeprefix(DEPLOYMENT_PREFIX)
    return {
        "ref": status.sha,
        "task": TASK,
        "auto_merge": False,
        "required_contexts": [],
        "environment": environment,
        "description": "applied by Catwalk",
        "transient_environment": False,
        "production_environment": environment.partition("/")[2] in PRODUCTION,
    }


def status_body(status: CommitStatus) -> dict[str, object]:
    """What adds a status. `auto_inactive` would end earlier deployments, but none of production: Catwalk ends each."""
    links = {"log_url": status.target_url, "environment_url": status.target_url} if status.target_url else {}
    state = _INACTIVE if is_superseded(status) else _STATES[status.state]
    return {"state": state, "description": status.description, "auto_inactive": False, **links}


def _commit_status(sha: str, environment: str, listed: _Status) -> CommitStatus:
    said = CommitStatus(
        sha=sha,
        context=f"{DEPLOYMENT_PREFIX}{environment}",
        state=_READ.get(listed.state, StatusState.PENDING),
        description=listed.description or "",
        target_url=listed.log_url or "",
    )
    is_ended = listed.state == _INACTIVE and not is_superseded(said)
    return replace(said, description=_BY_SOMEBODY) if is_ended else said


def _denied(fault: EnvironmentFault) -> ToldAlready:
    return ToldAlready(
        "github-deployments-not-permitted",
        f"deployments are not written: {fault.problem.message}",
        hint="give the token or the App `Deployments: write` and start again, or unset CATWALK_GITHUB_DEPLOYMENTS",
    )


def _read_list(page: TypeAdapter[list[_One]], content: bytes) -> list[_One]:
    try:
        return page.validate_json(content)
    except ValidationError as fault:
        raise unreadable(fault) from fault

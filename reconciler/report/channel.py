"""Where an App writes: check runs, or statuses where its installation may not write those.

Never both. GitHub lists a status and a check of one name side by side, and a branch that requires the name waits for
both ("About status checks"). A run satisfies whoever requires `catwalk/sync` as well as a status does, and says more,
so that it takes the status's place.
"""

from collections.abc import Sequence

from reconciler.errors import EnvironmentFault
from reconciler.report.credentials import AppInstallation
from reconciler.report.outbox import StatusService
from reconciler.report.statuses import CommitStatus


class AppChannel:
    """Chooses at each call: permissions change while a service runs, and come with each token."""

    __slots__ = ("_checks", "_installation", "_statuses")

    def __init__(self, installation: AppInstallation, checks: StatusService, statuses: StatusService) -> None:
        self._installation, self._checks, self._statuses = installation, checks, statuses

    async def statuses(self, sha: str) -> Sequence[CommitStatus]:
        return await (await self._chosen()).statuses(sha)

    async def post(self, status: CommitStatus) -> None:
        await (await self._chosen()).post(status)

    async def _chosen(self) -> StatusService:
        permissions = await self._installation.permissions()
        if permissions.get("checks") == "write":
            return self._checks
        if permissions.get("statuses") == "write":
            return self._statuses
        raise EnvironmentFault(
            "github-app-not-permitted",
            f"the GitHub App {self._installation.app_id} may write neither check runs nor commit statuses",
            hint="give it `Checks: write` on its settings page and accept the change where it is installed",
        )

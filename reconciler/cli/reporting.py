"""What a process tells readers outside: on commits, on pull requests, and to whoever wants to be notified.

Everything that is to be said waits in the store and is sent by the process that leads. Without credentials nobody
outside is told, which is right on a person's own machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
import structlog

from reconciler.cli.github_access import GitHubAccess
from reconciler.errors import CatwalkError
from reconciler.loop.clock import SystemClock
from reconciler.loop.leadership import Leadership
from reconciler.loop.ports import Logs, Reporter
from reconciler.loop.store.store import Store
from reconciler.report.courier import MESSAGES, Channel, Courier
from reconciler.report.deployments import RepositoryDeployments, WithDeployments
from reconciler.report.explanations import Explanations
from reconciler.report.notifier import Notifier, Together
from reconciler.report.outbox import Outbox, StatusService
from reconciler.report.proposals import COMMENT, CommentChannel, ProposalReports
from reconciler.report.reporter import GitHubReporter, NullReporter, ReportSettings
from reconciler.report.rollouts import DeploymentReporter, environment_of
from reconciler.report.stores import LETTERS, ShelfOutboxStore
from reconciler.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.reporting")

LAST_POSTS_S: Final = 20.0
"""How long a command that ends waits for GitHub. What is left is sent by whoever leads next."""
FAREWELL_S: Final = 5.0
"""How long a service that ends waits for GitHub: service managers are less patient than people."""
LEAD_PATIENCE_S: Final = 0.5
"""How long a service that ends waits to lead once more: where another one takes over, that one sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backstage:
    """What reporting needs of the wiring."""

    store: Store
    """Refuses to be written by a process that leads no longer."""
    lead: Leadership | None
    logs: Logs
    fleet_name: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """Everything that is told, and its senders."""

    reporter: Reporter = field(default_factory=NullReporter)
    outbox: Outbox | None = None
    courier: Courier | None = None
    proposals: ProposalReports | None = None
    access: GitHubAccess | None = None

    def forget_permissions(self) -> None:
        """Asks GitHub anew what the App may do, because it has said that this changed."""
        if self.access is not None and self.access.installation is not None:
            self.access.installation.forget()

    async def run(self) -> None:
        """Sends until it is cancelled."""
        async with anyio.create_task_group() as group:
            for sender in (self.outbox, self.courier):
                if sender is not None:
                    group.start_soon(sender.run)

    async def drain(self, *, timeout_s: float) -> None:
        """Sends what waits on commits, while this process leads. What cannot be sent waits for the next leader."""
        if self.outbox is None:
            return
        try:
            await self.outbox.drain(timeout_s=timeout_s)
        except CatwalkError as fault:
            log.warning("last-words-unsaid", problem=str(fault))

    async def farewell(self, lead: Leadership | None) -> None:
        """The last words of a service that has given its lead back; nothing where another one has taken over."""
        try:
            if self.outbox is None or lead is None or not await self.outbox.waits():
                return
            async with lead.held(patience_s=LEAD_PATIENCE_S):
                await self.drain(timeout_s=FAREWELL_S)
        except CatwalkError:
            return


Report = Callable[[Backstage], Reporting]


def silent(_: Backstage) -> Reporting:
    """For commands that tell nobody."""
    return Reporting()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Whom a process can tell."""

    settings: Settings
    access: GitHubAccess | None
    manner: ReportSettings = field(default_factory=ReportSettings)
    """Where the followed directory is in the repository, and whether a button asks for new check runs."""
    channels: Mapping[str, Channel] | None = None
    """Who is notified besides."""

    def report(self, backstage: Backstage) -> Reporting:
        """Everything that is told, as far as there is somebody to tell."""
        access, channels = self.access, dict(self.channels or {})
        if access is not None:
            channels[COMMENT] = CommentChannel(
                access.door, access.repository, access.author, access.pace, fleet=backstage.fleet_name
            )
        courier = Courier(channels, backstage.store.shelf(MESSAGES), SystemClock(), turn=backstage.lead)
        explanations = Explanations(backstage.logs)
        notifier = Notifier(courier, explanations, public_url=self.settings.public_url)
        if access is None:
            return Reporting(reporter=notifier, courier=courier) if channels else Reporting()
        letters = ShelfOutboxStore(backstage.store.shelf(LETTERS))
        service = self._service(access, backstage.fleet_name)
        outbox = Outbox(service, letters, SystemClock(), turn=backstage.lead)
        manner = self._manner(access, backstage.logs)
        on_commits = GitHubReporter(outbox, settings=manner, explanations=explanations)
        return Reporting(
            reporter=Together(on_commits, *self._deployments(outbox, explanations), notifier),
            outbox=outbox,
            courier=courier,
            access=access,
            proposals=ProposalReports(outbox, courier, public_url=manner.public_url, directory=manner.directory),
        )

    def _service(self, access: GitHubAccess, fleet_name: Callable[[], str]) -> StatusService:
        """What the outbox writes to: statuses or check runs, and deployments where they are wanted."""
        overlay = self.settings.environment
        if not self.settings.github_deployments:
            return access.statuses
        deployments = RepositoryDeployments(
            access.door,
            access.repository,
            access.pace,
            environment=lambda: environment_of(fleet_name(), overlay),
        )
        return WithDeployments(access.statuses, deployments)

    def _deployments(self, outbox: Outbox, explanations: Explanations) -> list[Reporter]:
        settings = self.settings
        if not settings.github_deployments:
            return []
        return [DeploymentReporter(outbox, explanations, overlay=settings.environment, public_url=settings.public_url)]

    def _manner(self, access: GitHubAccess, logs: Logs) -> ReportSettings:
        detailed = access.installation is not None
        return replace(self.manner, public_url=self.settings.public_url, detailed=detailed, logs=logs)

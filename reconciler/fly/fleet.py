"""The fleet behind the Machines API: sees it, and does one thing to it at a time.

`FlyFleet` is what the loop calls its fleet. It makes no decision: the plan is the core's, and every refusal here is a
matter of safety (whose is it, is it still as it was seen), not of taste.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    AppAction,
    Cordon,
    Create,
    CreateApp,
    Destroy,
    DestroyApp,
    MachineAction,
    Outcome,
    SetSecrets,
    Start,
    Stop,
    Uncordon,
    Update,
)
from reconciler.core.redact import Redactor
from reconciler.core.secret import SecretValue
from reconciler.core.types import Observation, OutcomeKind, Revision
from reconciler.errors import CatwalkError
from reconciler.fly import app_actions, creation, orders, updating
from reconciler.fly.client import MachinesAPI
from reconciler.fly.news import News
from reconciler.fly.observe import Observer
from reconciler.fly.results import Done
from reconciler.fly.session import Patience, Session


class FlyFleet:
    """All apps and machines of one fleet in one organization."""

    def __init__(
        self,
        api: MachinesAPI,
        *,
        fleet: str,
        organization: str,
        gateway_network: str = "",
        patience: Patience = Patience(),  # noqa: B008  # A frozen value: sharing it shares nothing.
    ) -> None:
        """Makes no call yet.

        Args:
            api: the connection; its timing is the fleet's clock and sleep.
            fleet: the prefix of our apps and the mark of our machines.
            organization: the slug of the Fly organization.
            gateway_network: the private network that callers come from; empty is the organization's own.
            patience: how long things may take.
        """
        self._session = Session(
            api=api,
            fleet=fleet,
            organization=organization,
            gateway_network=gateway_network,
            news=News(api, organization),
            patience=patience,
        )
        self._observer = Observer(self._session)

    async def observe(self, *, glance: bool = False) -> Observation:
        """Everything that exists of this fleet. What could not be read makes it incomplete.

        Args:
            glance: does not ask again how a machine does that was well a few seconds ago.

        Raises:
            CatwalkError: nothing could be read.
        """
        return await self._observer.observe(glance=glance)

    async def apply(self, action: Action, *, secrets: Mapping[str, SecretValue], revision: Revision) -> Outcome:
        """Does one thing and tells what came of it. A failure is an outcome; a cancellation goes through.

        Args:
            action: what to do.
            secrets: the values of the server's declared secrets, by name; read by `SetSecrets` alone.
            revision: whose configuration it is, for the mark of the machine.
        """
        try:
            done = await self._do(action, secrets, revision)
        except CatwalkError as error:
            redact = Redactor(secrets.values())
            problem = replace(error.problem, message=redact(error.problem.message), server=action.server)
            return Outcome(action=action, kind=OutcomeKind.FAILED, problem=problem)
        return Outcome(action=action, kind=done.kind, machine_id=done.machine_id, detail=done.detail)

    async def _do(self, action: Action, secrets: Mapping[str, SecretValue], revision: Revision) -> Done:
        if isinstance(action, MachineAction):
            return await self._do_machine(action, revision)
        return await self._do_app(action, secrets)

    async def _do_app(self, action: AppAction, secrets: Mapping[str, SecretValue]) -> Done:
        match action:
            case CreateApp():
                return await app_actions.create_app(self._session, action)
            case AllocateAddress():
                return await app_actions.allocate_address(self._session, action)
            case SetSecrets():
                return await app_actions.set_secrets(self._session, action, secrets)
            case DestroyApp():
                return await app_actions.destroy_app(self._session, action)
            case _:
                assert_never(action)

    async def _do_machine(self, action: MachineAction, revision: Revision) -> Done:
        match action:
            case Create():
                return await creation.create(self._session, action, revision)
            case Update():
                return await updating.update(self._session, action, revision)
            case Destroy():
                return await orders.destroy(self._session, action)
            case _:
                return await self._order(action)

    async def _order(self, action: Start | Stop | Cordon | Uncordon) -> Done:
        """A change of run state or rotation: no configuration changes."""
        match action:
            case Start():
                return await orders.start(self._session, action)
            case Stop():
                return await orders.stop(self._session, action)
            case Cordon():
                return await orders.cordon(self._session, action)
            case Uncordon():
                return await orders.uncordon(self._session, action)
            case _:
                assert_never(action)

"""Creates an app, gives it its address and its secrets, and destroys it. Doing any of these twice changes nothing."""

from collections.abc import Mapping

from reconciler.core.actions import AllocateAddress, CreateApp, DestroyApp, SetSecrets
from reconciler.core.programs import app_secret_value, declared_name
from reconciler.core.secret import SecretValue
from reconciler.core.types import OutcomeKind
from reconciler.errors import InternalFault
from reconciler.fly import addresses, app_secrets, apps, errors, machines
from reconciler.fly.orders import refuse_foreign
from reconciler.fly.results import Done
from reconciler.fly.session import LAG_PAUSE_S, Session
from reconciler.fly.wire import AppEntry

Secrets = Mapping[str, SecretValue]


async def create_app(session: Session, action: CreateApp) -> Done:
    """Creates the app, or adopts it where an earlier attempt did.

    Raises:
        NameTaken: the name belongs to somebody else.
    """
    try:
        await apps.create(session.api, action.app, organization=session.organization, network=action.network)
    except (errors.NameTaken, errors.UnexplainedConflict, errors.AnswerLost) as refusal:
        await _adopt_app(session, action, refusal)
        session.note_made(action.app)
        return Done(kind=OutcomeKind.ADOPTED, detail="it existed already")
    session.note_made(action.app)
    return Done()


async def _adopt_app(
    session: Session, action: CreateApp, refusal: errors.NameTaken | errors.UnexplainedConflict | errors.AnswerLost
) -> None:
    """Looks whose the app is. One of our organization on the network that we give it is ours."""
    try:
        app = await apps.get(session.api, action.app)
    except errors.NotFound:
        # Nobody has the name, so that was not what the refusal meant, or what was lost did not happen.
        raise refusal from None
    except errors.Forbidden as error:
        raise _taken(action.app, "another organization") from error
    if not _is_in(app, session.organization):
        raise _taken(action.app, "another organization")
    if app.network not in {"", action.network}:
        raise _taken(action.app, f"an app of your organization on network {app.network}, not made by Catwalk")


def _taken(app: str, owner: str) -> errors.NameTaken:
    hint = "app names are global on Fly: rename the fleet or the server"
    return errors.NameTaken("app-name-taken", f"the app name {app} is taken by {owner}", hint=hint)


def _is_in(app: AppEntry, organization: str) -> bool:
    return app.organization.slug in {"", organization}


async def allocate_address(session: Session, action: AllocateAddress) -> Done:
    """Makes the app reachable from the gateway's network by one private address."""
    if found := await _address(session, action.app):
        return Done(kind=OutcomeKind.ADOPTED, detail=found)
    try:
        made = await addresses.allocate_private(session.api, action.app, network=session.gateway_network)
    except errors.AnswerLost:
        if found := await _address(session, action.app):
            return Done(kind=OutcomeKind.ADOPTED, detail=found)
        raise
    return Done(detail=made.ip)


async def _address(session: Session, app: str) -> str:
    """The address by which the gateway reaches the app, or empty text."""
    listed = await session.despite_lag(app, lambda: addresses.of_app(session.api, app))
    return next((address.ip for address in listed if addresses.reaches(address, session.gateway_network)), "")


async def set_secrets(session: Session, action: SetSecrets, values: Secrets) -> Done:
    """Makes the app's secrets exactly the declared ones, and remembers the version that machines must boot with.

    Raises:
        InternalFault: the pass did not bring the value of a declared secret.
    """
    if missing := [name for name in action.names if declared_name(name) not in values]:
        raise InternalFault("secret-value-missing", f"no value was read for {', '.join(missing)}")
    app = action.app
    existing = await session.despite_lag(app, lambda: app_secrets.names(session.api, app))
    unset = existing - set(action.names)
    if not action.names and not unset:
        return Done(detail="there are none")
    wanted = {name: app_secret_value(name, values[declared_name(name)]) for name in action.names}
    version = await session.despite_lag(app, lambda: app_secrets.change(session.api, app, values=wanted, unset=unset))
    session.secret_versions[app] = version
    return Done(detail=f"{len(wanted)} set, {len(unset)} removed")


async def destroy_app(session: Session, action: DestroyApp) -> Done:
    """Destroys an app all of whose machines are ours, with everything in it.

    Raises:
        NotOurs: the app holds a machine without our mark, or does not bear our name.
    """
    try:
        await _refuse_foreign_app(session, action.app)
        await apps.destroy(session.api, action.app, organization=session.organization)
    except errors.NotFound:
        session.forget_app(action.app)
        return Done(detail="it was gone already")
    gone = await _until_app_is_gone(session, action.app)
    session.forget_app(action.app)
    return Done(detail="" if gone else "it is still being destroyed")


async def _refuse_foreign_app(session: Session, app: str) -> None:
    found = await apps.get(session.api, app)
    named_ours = app.startswith(f"{session.fleet}-") and found.network in {"", app}
    if not named_ours or not _is_in(found, session.organization):
        raise errors.NotOurs("app-not-ours", f"app {app} was not made by this fleet", hint="it is left alone")
    for entry in await machines.of_app(session.api, app):
        refuse_foreign(session, app, entry)


async def _until_app_is_gone(session: Session, app: str) -> bool:
    """The API answers before it is done; a name that is needed again soon must be free by then."""
    deadline_s = session.now_s() + session.patience.settle_s
    while session.now_s() < deadline_s:
        try:
            await apps.get(session.api, app)
        except errors.NotFound:
            return True
        await session.sleep(LAG_PAUSE_S)
    return False

"""Secrets of an app: the one call of the Machines API that carries plaintext.

Values are revealed in the body of that call and nowhere else; its answer is never quoted. Fly applies secrets when a
machine boots, and the version that a change answers is what a machine must be launched with to be sure of them.
"""

from collections.abc import Iterable, Mapping

from reconciler.core.digests import JSON
from reconciler.core.secret import SecretValue
from reconciler.fly import paths
from reconciler.fly.calls import Call, Effect
from reconciler.fly.client import MachinesAPI
from reconciler.fly.wire import SecretPage


async def names(api: MachinesAPI, app: str) -> frozenset[str]:
    """The names of the secrets that the app has.

    Raises:
        NotFound: no such app.
    """
    call = Call(
        method="GET",
        path=f"{paths.app(app)}/secrets",
        purpose=f"list the names of the secrets of app {app}",
        action="list secrets",
        subject=app,
        confidential=True,
    )
    page = await api.ask(call, SecretPage)
    return frozenset(secret.name for secret in page.secrets if secret.name)


async def change(api: MachinesAPI, app: str, *, values: Mapping[str, SecretValue], unset: Iterable[str]) -> int:
    """Sets and unsets secrets in one step.

    Returns:
        The version of the app's secrets from then on.
    """
    body: dict[str, JSON] = {name: value.reveal() for name, value in values.items()}
    body |= dict.fromkeys(sorted(unset))
    call = Call(
        method="POST",
        path=f"{paths.app(app)}/secrets",
        body={"values": body},
        purpose=f"set the secrets of app {app}",
        action="set secrets",
        subject=app,
        effect=Effect.REPEATABLE,
        confidential=True,
    )
    return (await api.ask(call, SecretPage)).version

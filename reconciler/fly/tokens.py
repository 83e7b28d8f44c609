"""What the configured token is good for; asked once at the start, to say what is wrong before anything is tried."""

from reconciler.fly.calls import Call
from reconciler.fly.client import MachinesAPI
from reconciler.fly.wire import TokenPage


async def organizations(api: MachinesAPI) -> frozenset[str]:
    """The organizations that the token may act in; empty where the API does not say.

    Raises:
        Unauthorized: the token is refused.
    """
    call = Call(
        method="GET", path="/v1/tokens/current", purpose="read the current token", action="get token", subject="current"
    )
    page = await api.ask(call, TokenPage)
    return frozenset(token.org_slug for token in page.tokens if token.org_slug)

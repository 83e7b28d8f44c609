"""Who is asking, and what that token may do: the organization's own token, a reader's, or one app's deploy token.

Header forms as the live API takes them: `FlyV1 T`, `Bearer T` and `Bearer FlyV1 T` all mean T, and T may be several
macaroons joined by commas, one of which must be known. Refused with 401: `Bearer FlyV1fm2_…` without the space, and a
list that mixes macaroons with other tokens (fly-go `tokens/tokens.go` keeps the two apart).

Deploy tokens are kept as digests: who reads the state directory learns no token from it.
"""

import hashlib
import hmac
from collections.abc import Iterator

from reconciler.engine.api.exchange import Grant, Route, Scope
from reconciler.engine.clock import Clock
from reconciler.engine.inventory import Inventory
from reconciler.engine.records import App, DeployToken
from reconciler.engine.refusals import Refusal
from reconciler.engine.settings import EngineSettings

MACAROONS = ("fm1r_", "fm1a_", "fm2_")
APP_ROUTES = ("/v1/apps/{app}", "/api/v1/apps/{app}")
"""What a deploy token is for."""
CURRENT = "/v1/tokens/current"
MINT = "/v1/apps/{app}/deploy_token"


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def bare_token(text: str) -> str:
    """A token without its scheme. `Bearer FlyV1fm2_…` keeps its `FlyV1`, and so is another token."""
    return text.strip().removeprefix("Bearer ").removeprefix("FlyV1 ").strip()


def presented(authorization: str) -> tuple[str, ...]:
    """The token as a whole and each of its parts; nothing where macaroons and other tokens are mixed."""
    whole = bare_token(authorization)
    parts = tuple(part.strip() for part in whole.split(","))
    if len({part.startswith(MACAROONS) for part in parts}) > 1:
        return ()
    return (whole, *parts)


class Grants:
    def __init__(self, settings: EngineSettings, inventory: Inventory, clock: Clock) -> None:
        self._organization = digest_of(bare_token(settings.token))
        self._reader = digest_of(bare_token(settings.readonly_token)) if settings.readonly_token else ""
        self._inventory = inventory
        self._clock = clock

    def of(self, authorization: str) -> Grant | None:
        """What the header allows; None where it holds no token that is known."""
        digests = [digest_of(token) for token in presented(authorization)]
        if _holds(digests, self._organization):
            return Grant(scope=Scope.ORGANIZATION)
        if self._reader and _holds(digests, self._reader):
            return Grant(scope=Scope.READER)
        for app, token in self._deploy_tokens():
            if _holds(digests, token.digest):
                return Grant(scope=Scope.APP, app=app.name)
        return None

    def _deploy_tokens(self) -> Iterator[tuple[App, DeployToken]]:
        now_ns = self._clock.now_ns()
        for app in self._inventory.apps():
            for token in app.deploy_tokens:
                if token.expires_ns > now_ns:
                    yield app, token

    def require(self, grant: Grant, route: Route, app: str) -> None:
        """Raises: Refusal: 403, the route or the app is out of the token's scope."""
        if grant.scope is Scope.READER and route.changes:
            raise Refusal(403, "forbidden: the token is read-only")
        if grant.scope is Scope.APP and not self._is_within(grant.app, route, app):
            raise Refusal(403, "forbidden: the token is not authorized for this")

    def _is_within(self, own: str, route: Route, app: str) -> bool:
        if not route.template.startswith(APP_ROUTES):
            return route.template == CURRENT
        # That an app does not exist is told as usual: names are global.
        return route.template != MINT and (app == own or self._inventory.app(app) is None)


def _holds(digests: list[str], known: str) -> bool:
    return any(hmac.compare_digest(digest, known) for digest in digests)

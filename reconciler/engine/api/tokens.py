"""Tokens: the present one, and deploy tokens, which may do everything with one app and nothing else."""

import secrets
from collections.abc import Iterable
from dataclasses import replace

from reconciler.engine import durations, refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Grant, Route
from reconciler.engine.api.grants import CURRENT, MINT, digest_of
from reconciler.engine.api.lookup import Desk
from reconciler.engine.clock import NANOSECONDS
from reconciler.engine.config import Model
from reconciler.engine.records import DeployToken
from reconciler.engine.refusals import Service

DEFAULT_EXPIRY = "175200h"
"""Twenty years, as on the platform."""


class CreateDeployToken(Model):
    expiry: str | None = None
    """A Go duration."""


class TokenRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        yield Route(method="GET", template=CURRENT, handler=self.current)
        yield Route(method="POST", template=MINT, handler=self.mint, service=Service.APPS)

    async def current(self, request: ApiRequest) -> Answer:
        return Answer(body={"tokens": [_token_json(request.grant, self._desk.settings.organization)]})

    async def mint(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        expiry = request.read(CreateDeployToken).expiry or DEFAULT_EXPIRY
        now_ns = self._desk.clock.now_ns()
        token = f"fm2_{secrets.token_urlsafe(48)}"
        kept = tuple(known for known in app.deploy_tokens if known.expires_ns > now_ns)
        made = DeployToken(digest=digest_of(token), expires_ns=now_ns + int(_seconds(expiry) * NANOSECONDS))
        self._desk.inventory.put_app(replace(app, deploy_tokens=(*kept, made)))
        await self._desk.inventory.settle()
        # With its scheme, as `fly tokens create deploy` prints it.
        return Answer(body={"token": f"FlyV1 {token}"})


def _seconds(expiry: str) -> float:
    try:
        return durations.seconds(expiry)
    except ValueError as error:
        raise refusals.invalid(f"expiry: {error}") from error


def _token_json(grant: Grant, organization: str) -> dict[str, object]:
    return {
        "token_id": f"{grant.scope}:{grant.app}".rstrip(":"),
        "org_slug": organization,
        "organization": organization,
        "apps": [grant.app] if grant.app else [],
        "user": "",
        "restricted_to_machine": "",
        "source_machine_id": "",
    }

"""App secrets: written, versioned, listed by digest, and never read back.

The live API returns values to a caller that asks with `show_secrets`; this engine does not, because nothing in Catwalk
needs it and what cannot be read cannot leak. The digest is keyed with a number that only this state directory knows, so
that a short value cannot be guessed from it; clients must treat it as opaque anyway, Fly documents no algorithm.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.engine import refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.clock import rfc3339
from reconciler.engine.config import Model, Text
from reconciler.engine.records import App, Secret
from reconciler.engine.refusals import Refusal

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SetSecrets(Model):
    values: Mapping[str, Text | None]


class SetSecret(Model):
    value: Text


class SecretRoutes:
    def __init__(self, desk: Desk, digest_key: bytes) -> None:
        self._desk = desk
        self._digest_key = digest_key

    def routes(self) -> Iterable[Route]:
        whole, one = "/v1/apps/{app}/secrets", "/v1/apps/{app}/secrets/{name}"
        yield Route(method="GET", template=whole, handler=self.list)
        yield Route(method="POST", template=whole, handler=self.update)
        yield Route(method="GET", template=one, handler=self.show)
        yield Route(method="POST", template=one, handler=self.set)
        yield Route(method="DELETE", template=one, handler=self.delete)

    async def list(self, request: ApiRequest) -> Answer:
        app = self._at_version(request)
        secrets = [_secret_json(name, secret) for name, secret in app.secrets.items()]
        return Answer(body={"secrets": secrets, "version": app.secrets_version})

    async def update(self, request: ApiRequest) -> Answer:
        """Sets and, with `null`, removes several at once: one new version."""
        app = await self._change(self._desk.app(request), request.read(SetSecrets).values)
        secrets = [_secret_json(name, secret) for name, secret in app.secrets.items()]
        return Answer(body={"secrets": secrets, "version": app.secrets_version})

    async def show(self, request: ApiRequest) -> Answer:
        app = self._at_version(request)
        return Answer(body=_secret_json(request.path["name"], self._secret(app, request.path["name"])))

    async def set(self, request: ApiRequest) -> Answer:
        name = request.path["name"]
        app = await self._change(self._desk.app(request), {name: request.read(SetSecret).value})
        body = {**_secret_json(name, app.secrets[name]), "version": app.secrets_version}
        return Answer(status=201, body=body)

    async def delete(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        self._secret(app, request.path["name"])
        app = await self._change(app, {request.path["name"]: None})
        return Answer(body={"version": app.secrets_version})

    def _at_version(self, request: ApiRequest) -> App:
        app = self._desk.app(request)
        least = request.one("min_version") or "0"
        if not (least.isascii() and least.isdigit()):
            raise refusals.invalid("min_version must be a number")
        if int(least) > app.secrets_version:
            raise refusals.failed_precondition(f"secrets version {least} is not here yet")
        return app

    def _secret(self, app: App, name: str) -> Secret:
        if name not in app.secrets:
            raise Refusal(404, "secret not found")
        return app.secrets[name]

    async def _change(self, app: App, values: Mapping[str, str | None]) -> App:
        for name in values:
            if not NAME.fullmatch(name):
                raise refusals.invalid(f"invalid secret name {name!r}")
        secrets = dict(app.secrets)
        for name, value in values.items():
            if value is None:
                secrets.pop(name, None)
            else:
                secrets[name] = self._made(app, name, value)
        changed = replace(app, secrets=secrets, secrets_version=app.secrets_version + 1)
        self._desk.inventory.put_app(changed)
        await self._desk.inventory.settle()
        return changed

    def _made(self, app: App, name: str, value: str) -> Secret:
        now_ns = self._desk.clock.now_ns()
        known = app.secrets.get(name)
        mark = b"\0".join(part.encode() for part in (app.id, name, value))
        digest = hmac.new(self._digest_key, mark, hashlib.sha256).hexdigest()[:32]
        return Secret(value=value, digest=digest, created_ns=known.created_ns if known else now_ns, updated_ns=now_ns)


def _secret_json(name: str, secret: Secret) -> dict[str, object]:
    return {
        "name": name,
        "digest": secret.digest,
        "created_at": rfc3339(secret.created_ns),
        "updated_at": rfc3339(secret.updated_ns),
    }

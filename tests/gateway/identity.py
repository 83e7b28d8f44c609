"""An identity provider of the tests' own, over real HTTP with real keys: metadata, keys, the code flow with PKCE."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from gateway.relay import OutsideRules
from tests.gateway.conftest import read_body, reply, serve

LOOPBACK = OutsideRules(networks=("127.0.0.0/8", "::1/128"))
Claims = dict[str, object]


def new_key(algorithm: str):
    if algorithm[:2] in {"RS", "PS"}:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    curve = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}[algorithm]
    return ec.generate_private_key(curve)


@dataclass
class SigningKey:
    key_id: str
    algorithm: str = "ES256"
    private: Any = None

    def __post_init__(self) -> None:
        self.private = self.private or new_key(self.algorithm)

    def document(self) -> dict[str, object]:
        public = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.key_id, "use": "sig", "alg": self.algorithm}


@dataclass
class IdentityProvider:
    """Its answers can be changed under way: `keys`, `overrides` by path, and `is_down`."""

    url: str = ""
    path: str = ""
    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey("first")])
    overrides: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    is_down: bool = False
    asked: list[str] = field(default_factory=list)
    scopes: list[str] = field(default_factory=lambda: ["mcp"])
    audience: str | None = None
    """What tokens are made out to in place of the `resource` that the client names."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    grants: list[dict[str, str]] = field(default_factory=list)
    """What the token endpoint was asked for."""
    groups: list[str] = field(default_factory=lambda: ["platform"])
    lifetime_s: int = 3600

    @property
    def issuer(self) -> str:
        return self.url + self.path

    def claims(self, **changes: object) -> Claims:
        now = int(time.time())
        usual: Claims = {
            "iss": self.issuer,
            "sub": "alice",
            "aud": "https://mcp.example.com/servers/time/mcp",
            "iat": now,
            "exp": now + self.lifetime_s,
            "scope": " ".join(self.scopes),
            "groups": self.groups,
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, *, key: SigningKey | None = None, headers: Claims | None = None, **changes: object) -> str:
        signing = key or self.keys[0]
        head = {"kid": signing.key_id, "typ": "at+jwt"} | (headers or {})
        head = {name: value for name, value in head.items() if value is not None}
        return jwt.encode(self.claims(**changes), signing.private, algorithm=signing.algorithm, headers=head)

    def metadata(self) -> Claims:
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "registration_endpoint": f"{self.url}/register",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "scopes_supported": self.scopes,
        }

    async def __call__(self, scope, receive, send) -> None:
        path, body = scope["path"], await read_body(receive)
        self.asked.append(path)
        if self.is_down:
            await reply(send, 503)
        elif path in self.redirects:
            await reply(send, 302, headers=((b"location", self.redirects[path].encode()),))
        elif path in self.overrides:
            await reply(send, *self.overrides[path])
        elif path == f"/.well-known/oauth-authorization-server{self.path}":
            await reply_json(send, 200, self.metadata())
        elif path == "/keys":
            await reply_json(send, 200, {"keys": [key.document() for key in self.keys]})
        elif path == "/register":
            await self._register(send, json.loads(body))
        elif path == "/authorize":
            await self._authorize(send, dict(parse_qsl(scope["query_string"].decode())))
        elif path == "/token":
            await self._token(scope, send, {name: values[0] for name, values in parse_qs(body.decode()).items()})
        else:
            await reply(send, 404)

    async def _register(self, send, asked: Claims) -> None:
        await reply_json(send, 201, {**asked, "client_id": "client-1"})

    async def _authorize(self, send, asked: dict[str, str]) -> None:
        """The person agrees at once."""
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        query = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        await reply(send, 302, headers=((b"location", f"{asked['redirect_uri']}?{query}".encode()),))

    async def _token(self, scope, send, asked: dict[str, str]) -> None:
        head = dict(scope["headers"])
        self.grants.append({**asked, "authorization": head.get(b"authorization", b"").decode()})
        if asked["grant_type"] == "client_credentials":
            await self._issue(send, asked.get("resource", "remote"), asked.get("scope", ""), "machine")
            return
        agreed = self.codes.pop(asked.get("code", ""), None)
        digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if agreed is None or agreed["code_challenge"] != challenge or agreed["resource"] != asked["resource"]:
            await reply_json(send, 400, {"error": "invalid_grant"})
        else:
            await self._issue(send, asked["resource"], agreed.get("scope", ""), "alice")

    async def _issue(self, send, resource: str, scope: str, subject: str) -> None:
        token = self.token(aud=self.audience or resource, scope=scope, sub=subject, jti=secrets.token_hex(8))
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime_s, "scope": scope}
        await reply_json(send, 200, granted)


async def reply_json(send, status: int, document: object) -> None:
    await reply(send, status, json.dumps(document).encode())


@asynccontextmanager
async def identity_provider(**settings: object) -> AsyncIterator[IdentityProvider]:
    provider = IdentityProvider(**settings)
    async with serve(provider) as port:
        provider.url = f"http://127.0.0.1:{port}"
        yield provider

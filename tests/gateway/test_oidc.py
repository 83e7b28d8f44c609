"""Tokens of identity providers: which are good, whose keys count and for how long, and what their bearers may use."""

import base64
import hmac
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import anyio
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import Grant, Undecided
from gateway.oauth.access import MAX_REMEMBERED, AccessRules, BearerAccess
from gateway.oauth.discovery import BadMetadata, keys_url, metadata_urls
from gateway.oauth.fetching import Fetcher
from gateway.oauth.issuer import MAX_RETRY_S, REFRESH_S, RETRY_S, STALE_S, Issuer
from gateway.oauth.keys import BadKeys, read_keys
from gateway.oauth.providers import Identity, Provider
from gateway.oauth.resource import Resources
from gateway.oauth.tokens import LEEWAY_S, claim
from gateway.problems import ProblemKind, Refused
from tests.gateway.conftest import gateway_to, read_body, reply, scripted, serve
from tests.gateway.identity import LOOPBACK, IdentityProvider, SigningKey, identity_provider

BASE = "https://mcp.example.com"
EVERYTHING = {"*": ["*"]}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def unix(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Scene:
    access: BearerAccess
    clock: Clock
    provider: Provider
    fetcher: Fetcher

    async def admit(self, token: str, server: str = "time", *, aggregate: bool = False) -> Grant | None:
        return await admitted(self.access, token, server, aggregate=aggregate)


async def admitted(access: BearerAccess, token: str, server: str = "time", *, aggregate: bool = False) -> Grant | None:
    for _ in range(4):
        try:
            return access.admit(b"Bearer " + token.encode("latin-1"), server, aggregate=aggregate)
        except Undecided as undecided:
            await undecided.fetch()
    raise AssertionError("it never becomes decided")


def scene(issuer: IdentityProvider, *, access=None, **settings: object) -> Scene:
    clock = Clock()
    provider = Provider(name="corp", issuer=issuer.issuer, **settings)
    rules = AccessRules(providers=[provider], access=access or {"platform": EVERYTHING})
    fetcher = Fetcher(LOOPBACK)
    issuers = [Issuer(provider, fetcher, clock)]
    return Scene(BearerAccess(rules, Resources(BASE, [provider]), issuers, now=clock.unix), clock, provider, fetcher)


async def refused(found: Scene, token: str, server: str = "time", *, aggregate: bool = False) -> Refused:
    with pytest.raises(Refused) as caught:
        await found.admit(token, server, aggregate=aggregate)
    return caught.value


def challenge(error: Refused) -> str:
    return dict(error.problem.headers)[b"www-authenticate"].decode()


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
async def test_a_token_of_the_provider_opens_what_its_groups_open(algorithm):
    async with identity_provider(keys=[SigningKey("k", algorithm)]) as issuer:
        grant = await scene(issuer).admit(issuer.token())
    assert grant is not None
    assert (grant.principal, grant.tools) == ("corp:alice", None)


@pytest.mark.parametrize("path", ["", "/realms/acme"])
@pytest.mark.parametrize("kind", ["oauth", "openid", "suffix"])
async def test_metadata_is_found_wherever_the_standards_put_it(path, kind):
    async with identity_provider(path=path) as issuer:
        urls = {"oauth": 0, "openid": 1, "suffix": 2 if path else 1}
        place = metadata_urls(issuer.issuer)[urls[kind]].removeprefix(issuer.url)
        issuer.overrides = {"/.well-known/oauth-authorization-server" + path: (404, b"")}
        issuer.overrides[place] = (200, json.dumps(issuer.metadata()).encode())
        assert await scene(issuer).admit(issuer.token()) is not None
        assert issuer.asked[-1] == "/keys"


async def test_an_issuer_without_metadata_can_be_configured_with_its_keys():
    async with identity_provider() as issuer:
        found = scene(issuer, jwks_url=f"{issuer.url}/keys")
        assert await found.admit(issuer.token()) is not None
        assert issuer.asked == ["/keys"]


def forged(head: dict[str, object], claims: dict[str, object], signature: bytes = b"") -> str:
    parts = [json.dumps(head).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def public_pem(key: SigningKey) -> bytes:
    return key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def signed_with_the_public_key(issuer: IdentityProvider) -> str:
    """HS256 with the public key as the secret, put together by hand, because libraries refuse to."""
    signing = forged({"alg": "HS256", "kid": "first", "typ": "JWT"}, issuer.claims()).rstrip(".")
    digest = hmac.digest(public_pem(issuer.keys[0]), signing.encode(), "sha256")
    return f"{signing}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


OTHER = SigningKey("first")
NOW = int(time.time())
HOSTILE = {
    "no signature": lambda i: forged({"alg": "none"}, i.claims()),
    "no signature, in capitals": lambda i: forged({"alg": "NONE", "kid": "first"}, i.claims()),
    "no signature, with one": lambda i: forged({"alg": "none", "kid": "first"}, i.claims(), b"x" * 64),
    "the public key as a secret": signed_with_the_public_key,
    "another key of the same name": lambda i: i.token(key=OTHER),
    "a changed claim": lambda i: ".".join(
        [i.token().split(".")[0], forged({}, i.claims(sub="root")).split(".")[1], i.token().split(".")[2]]
    ),
    "an empty signature": lambda i: i.token().rpartition(".")[0] + ".",
    "another audience": lambda i: i.token(aud="https://mcp.example.com/servers/wiki/mcp"),
    "the audience as a prefix": lambda i: i.token(aud="https://mcp.example.com/servers/time/mcp/"),
    "the gateway as audience": lambda i: i.token(aud="https://mcp.example.com"),
    "no audience": lambda i: i.token(aud=None),
    "a list of other audiences": lambda i: i.token(aud=["a", "b"]),
    "an audience that is no text": lambda i: forged({"alg": "ES256", "kid": "first"}, i.claims(aud={"a": 1})),
    "another issuer": lambda i: i.token(iss="https://evil.example.com"),
    "the issuer with a slash": lambda i: i.token(iss=i.issuer + "/"),
    "no issuer": lambda i: i.token(iss=None),
    "an issuer that is a list": lambda i: forged({"alg": "ES256", "kid": "first"}, i.claims(iss=[i.issuer])),
    "expired": lambda i: i.token(exp=NOW - 3600),
    "no expiry": lambda i: i.token(exp=None),
    "an expiry that is no number": lambda i: i.token(exp="tomorrow"),
    "not valid yet": lambda i: i.token(nbf=NOW + 3600),
    "issued in the future": lambda i: i.token(iat=NOW + 3600),
    "huge": lambda i: i.token(pad="x" * 40_000),
    "a path as key name": lambda i: i.token(headers={"kid": "../../../../dev/null"}),
    "a query as key name": lambda i: i.token(headers={"kid": "' OR 1=1 --"}),
    "a key name that is no text": lambda i: forged({"alg": "ES256", "kid": ["first"]}, i.claims()),
    "a key that comes along": lambda i: i.token(key=OTHER, headers={"jwk": OTHER.document()}),
    "keys from elsewhere": lambda i: i.token(key=OTHER, headers={"jku": f"{i.url}/evil", "x5u": f"{i.url}/evil"}),
    "something critical": lambda i: i.token(headers={"crit": ["exp"], "exp": 1}),
    "another kind of token": lambda i: i.token(headers={"typ": "logout+jwt"}),
    "nobody": lambda i: i.token(sub=None),
    "nobody in particular": lambda i: i.token(sub=""),
    "a name that breaks lines": lambda i: i.token(sub="alice\nroot"),
    "a name without end": lambda i: i.token(sub="a" * 500),
    "deep nesting": lambda _: forged({"alg": "ES256", "kid": "first"}, {}).replace(
        ".e30.", "." + base64.urlsafe_b64encode(b"[" * 9000).decode() + "."
    ),
    "no JSON": lambda _: "YQ.YQ.YQ",
    "no base64": lambda _: "!.!.!",
    "two parts": lambda _: "a.b",
    "five parts": lambda _: "a.b.c.d.e",
    "not ASCII": lambda _: "\xff.\xff.\xff",
    "opaque": lambda _: "hunter2",
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_token_is_refused(make):
    async with identity_provider() as issuer:
        issuer.overrides["/evil"] = (200, json.dumps({"keys": [OTHER.document()]}).encode())
        found = scene(issuer)
        token = make(issuer)
        error = await refused(found, token)
        assert error.problem.kind is ProblemKind.UNAUTHENTICATED
        assert "/evil" not in issuer.asked
        assert token not in str(error)
        assert 'resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/servers/time/mcp"' in (
            challenge(error)
        )


async def test_clocks_may_be_a_little_apart():
    async with identity_provider() as issuer:
        found = scene(issuer)
        just_over = int(time.time()) - LEEWAY_S + 10
        assert await found.admit(issuer.token(exp=just_over, nbf=int(time.time()) + LEEWAY_S - 10)) is not None


async def test_a_token_that_was_good_is_refused_when_its_time_is_over():
    async with identity_provider() as issuer:
        found = scene(issuer)
        token = issuer.token()
        grant = await found.admit(token)
        assert grant is not None
        assert grant.expires_at_s is not None
        assert grant.expires_at_s <= time.time() + REFRESH_S + 1
        found.clock.ahead_s = 3600 + LEEWAY_S + 1
        assert (await refused(found, token)).problem.kind is ProblemKind.UNAUTHENTICATED


async def test_a_rotated_key_is_looked_for_once_whatever_callers_make_up():
    async with identity_provider() as issuer:
        found = scene(issuer)
        await found.admit(issuer.token())
        assert issuer.asked.count("/keys") == 1
        issuer.keys.insert(0, SigningKey("second"))
        found.clock.now_s += RETRY_S
        assert await found.admit(issuer.token()) is not None
        assert issuer.asked.count("/keys") == 2
        for number in range(20):
            await refused(found, issuer.token(headers={"kid": f"made-up-{number}"}))
        assert issuer.asked.count("/keys") == 2
        found.clock.now_s += RETRY_S
        for number in range(20):
            await refused(found, issuer.token(headers={"kid": f"made-up-{number}"}))
        assert issuer.asked.count("/keys") == 3


async def test_many_callers_at_the_start_share_one_fetch():
    async with identity_provider() as issuer:
        found = scene(issuer)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(found.admit, issuer.token(jti=str(number)))
        assert issuer.asked.count("/keys") == 1


async def test_a_key_that_the_issuer_withdraws_verifies_nothing_more():
    async with identity_provider() as issuer:
        found = scene(issuer)
        token = issuer.token()
        assert await found.admit(token) is not None
        before = found.access.generation
        issuer.keys = [SigningKey("second")]
        assert await found.admit(token) is not None
        found.clock.now_s += REFRESH_S + 1
        assert (await refused(found, token)).problem.kind is ProblemKind.UNAUTHENTICATED
        assert found.access.generation > before


async def test_an_issuer_that_is_down_is_tolerated_for_a_day_and_asked_ever_more_rarely():
    async with identity_provider() as issuer:
        found = scene(issuer)
        old = issuer.token(exp=int(time.time()) + 10 * 24 * 3600)
        assert await found.admit(old) is not None
        issuer.is_down = True
        found.clock.now_s += REFRESH_S + 1
        asked = len(issuer.asked)
        for _ in range(5):
            assert await found.admit(old) is not None
            assert await found.admit(issuer.token(jti="another")) is not None
        assert len(issuer.asked) == asked + 1
        for _ in range(100):
            found.clock.now_s += MAX_RETRY_S / 10
            assert await found.admit(old) is not None
        assert len(issuer.asked) < asked + 20
        found.clock.now_s += STALE_S
        error = await refused(found, old)
        assert error.problem.kind is ProblemKind.ISSUER_UNAVAILABLE
        assert int(dict(error.problem.headers)[b"retry-after"]) >= 1
        issuer.is_down = False
        found.clock.now_s += MAX_RETRY_S
        assert await found.admit(old) is not None


async def test_without_keys_there_is_no_verdict(unused_port):
    found = scene(IdentityProvider(url=f"http://127.0.0.1:{unused_port}"))
    issuer = IdentityProvider(url=f"http://127.0.0.1:{unused_port}")
    assert (await refused(found, issuer.token())).problem.kind is ProblemKind.ISSUER_UNAVAILABLE


async def test_an_issuer_that_says_nothing_is_not_waited_for_long(monkeypatch):
    async def silent(reader, _):
        await reader.read()

    monkeypatch.setattr("gateway.oauth.issuer.FETCH_S", 0.1)
    async with scripted(silent) as server:
        issuer = IdentityProvider(url=f"http://127.0.0.1:{server.port}")
        with anyio.fail_after(4):
            error = await refused(scene(issuer), issuer.token())
    assert error.problem.kind is ProblemKind.ISSUER_UNAVAILABLE


METADATA = "/.well-known/oauth-authorization-server"
BROKEN = {
    "another issuer": lambda i: {METADATA: (200, json.dumps({**i.metadata(), "issuer": "https://evil"}).encode())},
    "no keys": lambda i: {METADATA: (200, json.dumps({"issuer": i.issuer}).encode())},
    "keys inside the network": lambda i: {
        METADATA: (200, json.dumps({"issuer": i.issuer, "jwks_uri": "http://169.254.169.254/keys"}).encode())
    },
    "keys in a file": lambda i: {
        METADATA: (200, json.dumps({"issuer": i.issuer, "jwks_uri": "file:///etc/passwd"}).encode())
    },
    "metadata without end": lambda _: {METADATA: (200, b'{"a":"' + b"x" * 1_000_000 + b'"}')},
    "metadata that is no object": lambda _: {METADATA: (200, b"[]")},
    "metadata that is no JSON": lambda _: {METADATA: (200, b"<html>")},
    "metadata that is nested": lambda _: {METADATA: (200, b"[" * 100_000)},
    "keys that are no set": lambda _: {"/keys": (200, b"{}")},
    "no keys in the set": lambda _: {"/keys": (200, b'{"keys": []}')},
    "a shared secret as key": lambda _: {"/keys": (200, b'{"keys": [{"kty":"oct","k":"YWJj","kid":"first"}]}')},
    "too many keys": lambda i: {"/keys": (200, json.dumps({"keys": [i.keys[0].document()] * 1000}).encode())},
    "an error": lambda _: {"/keys": (500, b"")},
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN.keys())
async def test_hostile_metadata_leads_nowhere(make):
    async with identity_provider() as issuer:
        issuer.overrides = make(issuer)
        error = await refused(scene(issuer), issuer.token())
    assert error.problem.kind is ProblemKind.ISSUER_UNAVAILABLE


@pytest.mark.parametrize("place", [METADATA, "/keys"])
async def test_redirects_are_not_followed(place):
    async with identity_provider() as issuer:
        issuer.redirects = {place: f"{issuer.url}/elsewhere"}
        assert (await refused(scene(issuer), issuer.token())).problem.kind is ProblemKind.ISSUER_UNAVAILABLE
        assert "/elsewhere" not in issuer.asked


def test_metadata_of_another_issuer_is_not_taken():
    with pytest.raises(BadMetadata):
        keys_url({"issuer": "https://login.example.com/", "jwks_uri": "https://x"}, "https://login.example.com")


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"d": "c2VjcmV0"},
        {"kid": 5},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"x": "!"},
        {"kty": "XXX"},
    ],
    ids=str,
)
def test_keys_that_should_verify_nothing_are_left_out(change):
    with pytest.raises(BadKeys):
        read_keys({"keys": [SigningKey("k").document() | change]})


def test_a_weak_rsa_key_is_left_out():
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(BadKeys):
        read_keys({"keys": [SigningKey("k", "RS256", weak).document()]})


def test_a_token_without_a_key_name_needs_an_issuer_with_one_key():
    one, two = SigningKey("a"), SigningKey("b")
    assert read_keys({"keys": [one.document()]}).find(None, "ES256") is not None
    assert read_keys({"keys": [one.document(), two.document()]}).find(None, "ES256") is None
    assert read_keys({"keys": [one.document()]}).find("a", "RS256") is None


async def test_scopes_are_needed_by_server_and_named_all_at_once():
    async with identity_provider(scopes=["mcp"]) as issuer:
        found = scene(
            issuer,
            scopes=("mcp",),
            server_scopes=(("time", ("time:read", "time:write")), ("*", ("never",))),
            audiences=("gateway",),
        )
        error = await refused(found, issuer.token(aud="gateway"))
        assert error.problem.kind is ProblemKind.INSUFFICIENT_SCOPE
        assert challenge(error) == (
            'Bearer error="insufficient_scope", scope="mcp time:read time:write", '
            'resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/servers/time/mcp", '
            'error_description="The token is not good for this server."'
        )
        good = issuer.token(aud="gateway", scope="time:write time:read mcp other")
        assert await found.admit(good) is not None
        assert (
            await found.admit(issuer.token(aud="gateway", scope=None, scp=["mcp time:read", "time:write"])) is not None
        )


def test_the_challenge_without_a_token_is_the_one_of_the_specification():
    provider = Provider(name="corp", issuer="https://login.example.com/t1", scopes=("weather:read",))
    access = BearerAccess(AccessRules(providers=[provider]), Resources("https://gw.example.com", [provider]), [])
    with pytest.raises(Refused) as caught:
        access.admit(None, "weather")
    assert challenge(caught.value) == (
        'Bearer scope="weather:read", '
        'resource_metadata="https://gw.example.com/.well-known/oauth-protected-resource/servers/weather/mcp"'
    )


async def test_a_token_for_the_common_address_is_none_for_a_server_and_the_other_way_round():
    async with identity_provider() as issuer:
        found = scene(issuer, server_scopes=(("secret", ("secret",)),))
        common = issuer.token(aud=f"{BASE}/mcp")
        own = issuer.token(aud=f"{BASE}/servers/time/mcp")
        assert await found.admit(common, aggregate=True) is not None
        assert await found.admit(own) is not None
        assert "oauth-protected-resource/mcp" in challenge(await refused(found, own, aggregate=True))
        await refused(found, common)
        assert await found.admit(common, "secret", aggregate=True) is None


async def test_groups_add_up_and_the_first_fitting_server_pattern_counts():
    rules = {
        "platform": {"time": ["get_*"], "*": ["*"]},
        "corp:oncall": {"ti*": ["restart", "get_time"]},
        "corp:*": {"clock": ["tick"]},
    }
    async with identity_provider(groups=["oncall", "platform", "*"]) as issuer:
        found = scene(issuer, access=rules, audiences=("gateway",))
        token = issuer.token(aud="gateway")
        time_grant = await found.admit(token)
        assert time_grant is not None
        assert time_grant.tools is not None
        assert set(time_grant.tools.patterns) == {"get_*", "restart", "get_time"}
        wiki = await found.admit(token, "wiki")
        assert wiki is not None
        assert wiki.tools is None
        nobody = issuer.token(aud="gateway", groups=[])
        assert await found.admit(nobody) is None
        clock = await found.admit(nobody, "clock")
        assert clock is not None
        assert clock.tools is not None
        assert clock.tools.patterns == ("tick",)


@pytest.mark.parametrize(
    ("claims", "path", "expected"),
    [
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ["a"]),
        ({"https://acme.example/groups": ["a"]}, "https://acme.example/groups", ["a"]),
        ({"a": "b"}, "a.b", None),
        ({}, "a", None),
    ],
)
def test_a_claim_is_found_by_its_name_or_its_path(claims, path, expected):
    assert claim(claims, path) == expected


async def test_other_claims_can_name_people_and_groups():
    async with identity_provider() as issuer:
        found = scene(issuer, username_claim="email", groups_claim="realm_access.roles")
        roles = {"roles": ["platform"]}
        grant = await found.admit(issuer.token(email="a@acme.com", email_verified=True, realm_access=roles))
        assert grant is not None
        assert grant.principal == "corp:a@acme.com"
        await refused(found, issuer.token(email="a@acme.com", email_verified=False, realm_access=roles))
        await refused(found, issuer.token(realm_access=roles))


async def test_no_provider_puts_its_users_into_groups_of_another():
    async with identity_provider() as corp, identity_provider(groups=["admins", "corp:admins"]) as partner:
        clock, fetcher = Clock(), Fetcher(LOOPBACK)
        providers = [
            Provider(name="corp", issuer=corp.issuer, audiences=("g",)),
            Provider(name="partner", issuer=partner.issuer, audiences=("g",)),
        ]
        rules = AccessRules(
            providers=providers, access={"admins": EVERYTHING, "corp:admins": EVERYTHING, "partner:guests": EVERYTHING}
        )
        issuers = [Issuer(provider, fetcher, clock) for provider in providers]
        access = BearerAccess(rules, Resources(BASE, providers), issuers)
        assert await admitted(access, partner.token(aud="g")) is None
        assert await admitted(access, partner.token(aud="g", groups=["guests"])) is not None
        assert await admitted(access, corp.token(aud="g", groups=["admins"])) is not None
        with pytest.raises(Refused):
            await admitted(access, jwt.encode(corp.claims(aud="g"), partner.keys[0].private, algorithm="ES256"))
        metadata = Resources(BASE, providers).metadata("time")
        assert metadata is not None
        assert metadata["authorization_servers"] == [corp.issuer, partner.issuer]


async def test_the_name_of_a_static_token_is_that_tokens_alone():
    async with identity_provider(groups=["ci"]) as issuer:
        found = scene(issuer, access={"ci": EVERYTHING})
        assert await found.admit(issuer.token()) is not None
        rules = AccessRules(tokens={"ci": "a" * 64}, providers=[found.provider], access={"ci": EVERYTHING})
        issuers = [Issuer(found.provider, found.fetcher, found.clock)]
        access = BearerAccess(rules, Resources(BASE, [found.provider]), issuers)
        assert await admitted(access, issuer.token()) is None


async def test_what_is_remembered_of_tokens_is_bounded(monkeypatch):
    monkeypatch.setattr("gateway.oauth.access.MAX_REMEMBERED", 10)
    assert MAX_REMEMBERED == 10_000
    async with identity_provider() as issuer:
        found = scene(issuer)
        for number in range(30):
            await found.admit(issuer.token(jti=str(number)))
        assert len(found.access._verified) == 10


PATTERNS = st.sampled_from(["*", "read_*", "*_file", "read_file", "r?ad_dir", "[rw]*", ""])
SERVERS = st.sampled_from(["time", "ti*", "*", "wiki", "w?ki"])
RULES = st.dictionaries(
    st.sampled_from(["a", "b", "corp:a", "corp:*", "*"]),
    st.dictionaries(SERVERS, st.lists(PATTERNS, min_size=1, max_size=3), max_size=3),
    max_size=4,
)
TOOLS = ["read_file", "write_file", "read_dir", "delete"]


@given(rules=RULES, groups=st.frozensets(st.sampled_from(["a", "b", "c"])))
def test_what_a_group_is_given_is_given_to_its_members_and_nobody_else(rules, groups):
    """The rules as a person reads them: some name of the caller, its first fitting server, one of its patterns."""
    provider = Provider(name="corp", issuer="https://login.example.com")
    issuers = [Issuer(provider, Fetcher(LOOPBACK), Clock())]
    access = BearerAccess(AccessRules(providers=[provider], access=rules), Resources(BASE, [provider]), issuers)
    names = {*groups, *(f"corp:{group}" for group in groups), "*", "corp:*"}
    identity = Identity(provider=provider, username="u", groups=groups, expires_at_s=0)
    for server in ("time", "wiki"):
        given_patterns = [
            next((tools for pattern, tools in servers.items() if fnmatchcase(server, pattern)), None)
            for name, servers in rules.items()
            if name in names
        ]
        meant = [patterns for patterns in given_patterns if patterns is not None]
        grant = access._grant(tuple(access._names_of(identity)), "u", server, None)
        assert (grant is None) == (not meant)
        for tool in TOOLS:
            is_meant = any(fnmatchcase(tool, pattern) for patterns in meant for pattern in patterns)
            is_given = grant is not None and (grant.tools is None or grant.tools.allows(tool))
            assert is_given == is_meant


class Server:
    def __init__(self) -> None:
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope, receive, send) -> None:
        await read_body(receive)
        self.headers.append(dict(scope["headers"]))
        tools = [{"name": name} for name in TOOLS]
        await reply(send, 200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}).encode())


@asynccontextmanager
async def gateway_with(issuer: IdentityProvider, server: Server, clock=time.monotonic, **settings: object):
    """A gateway at whose own address tokens are made out."""
    provider = Provider(name="corp", issuer=issuer.issuer, **settings)
    rules = AccessRules(providers=[provider], access={"platform": {"time": ["read_*"]}})
    async with serve(server) as port:
        resources = Resources("http://gateway.example.com", [provider])
        access = BearerAccess(rules, resources, [Issuer(provider, Fetcher(LOOPBACK), clock)])
        async with gateway_to(port, access=access, resource_metadata=resources.metadata) as gateway:
            yield gateway


def body(method: str, name: str = "") -> bytes:
    params = {"name": name} if name else {}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


@pytest.mark.usefixtures("data_path")
async def test_a_list_shows_exactly_what_a_call_allows_and_the_token_stays_here():
    server = Server()
    async with identity_provider() as issuer, gateway_with(issuer, server) as gateway, httpx.AsyncClient() as client:
        headers = {"authorization": f"Bearer {issuer.token(aud='http://gateway.example.com/servers/time/mcp')}"}
        shown: set[str] = set()
        for _ in range(3):
            answer = await client.post(gateway.mcp, content=body("tools/list"), headers=headers)
            shown = {tool["name"] for tool in answer.json()["result"]["tools"]}
        called: set[str] = set()
        for tool in TOOLS * 2:
            before = len(server.headers)
            await client.post(gateway.mcp, content=body("tools/call", tool), headers=headers)
            called |= {tool} if len(server.headers) > before else set()
        assert shown == called == {"read_file", "read_dir"}
        assert issuer.asked.count("/keys") == 1
    assert server.headers
    assert not any(b"authorization" in each for each in server.headers)
    assert not any(headers["authorization"].encode() in each.values() for each in server.headers)


@pytest.mark.usefixtures("data_path")
async def test_a_withdrawn_key_ends_calls_that_were_decided_on_before():
    server, clock = Server(), Clock()
    async with (
        identity_provider() as issuer,
        gateway_with(issuer, server, clock) as gateway,
        httpx.AsyncClient() as client,
    ):
        audience = "http://gateway.example.com/servers/time/mcp"
        headers = {"authorization": f"Bearer {issuer.token(aud=audience)}"}
        for _ in range(3):
            assert (await client.post(gateway.mcp, content=body("ping"), headers=headers)).status_code == 200
        issuer.keys = [SigningKey("second")]
        clock.now_s += REFRESH_S + 1
        other = {"authorization": f"Bearer {issuer.token(aud=audience)}"}
        assert (await client.post(gateway.mcp, content=body("ping"), headers=other)).status_code == 200
        assert (await client.post(gateway.mcp, content=body("ping"), headers=headers)).status_code == 401


async def test_metadata_is_public_and_the_same_for_servers_that_do_not_exist():
    async with (
        identity_provider() as issuer,
        gateway_with(issuer, Server(), scopes=("mcp",)) as gateway,
        httpx.AsyncClient() as client,
    ):
        for server in ("time", "nosuch"):
            url = f"{gateway.url}/.well-known/oauth-protected-resource/servers/{server}/mcp"
            answer = await client.get(url, headers={"origin": "https://anywhere.example.com"})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.json() == {
                "resource": f"http://gateway.example.com/servers/{server}/mcp",
                "authorization_servers": [issuer.issuer],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["mcp"],
            }
        common = await client.get(f"{gateway.url}/.well-known/oauth-protected-resource/mcp")
        assert common.json()["resource"] == "http://gateway.example.com/mcp"
        asked = await client.options(f"{gateway.url}/.well-known/oauth-protected-resource/mcp")
        assert (asked.status_code, asked.headers["access-control-allow-headers"]) == (204, "mcp-protocol-version")
        assert (await client.get(f"{gateway.url}/.well-known/oauth-protected-resource/servers/a%22b/mcp")).is_error


async def test_a_gateway_without_providers_announces_none(unused_port):
    async with gateway_to(unused_port) as gateway, httpx.AsyncClient() as client:
        answer = await client.get(f"{gateway.url}/.well-known/oauth-protected-resource/servers/time/mcp")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


def test_a_provider_can_be_compared_and_kept():
    provider = Provider(name="corp", issuer="https://login.example.com")
    assert provider == replace(provider)
    assert {provider: 1}[replace(provider)] == 1

"""Whom the gateway of a service lets in, and who sees its dashboard."""

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from litestar import Litestar, get
from litestar.testing import AsyncTestClient

from gateway.access import ANONYMOUS, Limits
from gateway.problems import Refused
from reconciler.cli.gateway_access import FollowedAccess
from reconciler.cli.sign_in import LONGEST, sign_in, token_of
from reconciler.core.actions import Pass
from reconciler.core.gateway_rules import CallerLimits, GatewayRules, GroupGrant, IdentityProvider, TokenGrant
from reconciler.core.types import Revision, Trigger
from reconciler.loop.progress import PassFinished, RevisionAccepted

TOKEN = "canary-3f1b"
RULES = GatewayRules(
    tokens=(
        TokenGrant(
            name="ci",
            sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
            servers=(("github", ("get_*",)), ("wiki-*", ("*",))),
        ),
    )
)
REVISION = Revision(commit="a" * 40, branch="main", source="/repository")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
BEARER = f"Bearer {TOKEN}".encode()


def accepted(rules: GatewayRules) -> RevisionAccepted:
    return RevisionAccepted(revision=REVISION, gateway=rules)


def ended(rules: GatewayRules | None) -> Pass:
    return Pass(number=1, trigger=Trigger.COMMIT, started_at=NOW, finished_at=NOW, gateway=rules)


def test_nobody_gets_in_while_nothing_says_who_may() -> None:
    access = FollowedAccess(open_without_rules=False)
    assert access.closed
    for credential in (None, BEARER):
        with pytest.raises(Refused):
            access.admit(credential, "github")


def test_whoever_starts_it_insecurely_lets_everybody_in_until_a_manifest_names_tokens() -> None:
    access = FollowedAccess(open_without_rules=True)
    grant = access.admit(None, "github")
    assert grant is not None
    assert grant.principal == ANONYMOUS
    access.on_event(accepted(RULES))
    with pytest.raises(Refused):
        access.admit(None, "github")


def test_a_token_opens_what_its_rule_says_as_soon_as_the_revision_is_accepted() -> None:
    access = FollowedAccess(open_without_rules=False)
    before = access.generation
    access.on_event(accepted(RULES))
    assert access.generation > before
    github, wiki = access.admit(BEARER, "github"), access.admit(BEARER, "wiki-acme")
    assert github is not None
    assert github.tools is not None
    assert (github.principal, github.tools.allows("get_issue"), github.tools.allows("delete_repo")) == (
        "ci",
        True,
        False,
    )
    assert wiki is not None
    assert wiki.tools is None
    assert access.admit(BEARER, "time") is None


def test_a_token_that_is_taken_out_of_the_manifest_opens_nothing_any_more() -> None:
    access = FollowedAccess(open_without_rules=False)
    access.on_event(accepted(RULES))
    access.on_event(accepted(GatewayRules()))
    with pytest.raises(Refused):
        access.admit(BEARER, "github")
    assert not access.knows(TOKEN.encode())


def test_a_process_that_starts_or_stands_by_takes_the_rules_of_the_last_pass() -> None:
    access = FollowedAccess(open_without_rules=False)
    access.remember(ended(RULES))
    assert access.admit(BEARER, "github") is not None
    generation = access.generation
    access.remember(None)
    access.on_event(PassFinished(finished=ended(None)))
    access.on_event(PassFinished(finished=ended(RULES)))
    assert access.generation == generation, "nothing changed"
    assert access.admit(BEARER, "github") is not None


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


HEADERS = [
    pytest.param("", b"", id="none"),
    pytest.param(f"Bearer {TOKEN}", TOKEN.encode(), id="bearer"),
    pytest.param(f"bearer  {TOKEN} ", TOKEN.encode(), id="any case"),
    pytest.param(basic(TOKEN), TOKEN.encode(), id="basic"),
    pytest.param(basic("a:b"), b"a:b", id="a colon in the password"),
    pytest.param("Basic not base64", b"", id="no base64"),
    pytest.param("Digest x", b"", id="another scheme"),
    pytest.param("Bearer " + "x" * LONGEST, b"", id="endless"),
]


@pytest.mark.parametrize(("header", "token"), HEADERS)
def test_the_token_is_read_from_either_scheme(header: str, token: bytes) -> None:
    assert token_of(header) == token


@get("/", sync_to_thread=False)
def page() -> str:
    return "fleet"


async def test_the_dashboard_asks_who_it_is() -> None:
    access = FollowedAccess(open_without_rules=False)
    async with AsyncTestClient(Litestar([page], guards=[sign_in(access)])) as client:
        assert (await client.get("/", headers={"Authorization": basic(TOKEN)})).status_code == 401
        access.on_event(accepted(RULES))
        refused = await client.get("/")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic realm=")
        assert (await client.get("/", headers={"Authorization": basic("wrong")})).status_code == 401
        assert (await client.get("/", headers={"Authorization": basic(TOKEN)})).text == "fleet"
        assert (await client.get("/", headers={"Authorization": f"Bearer {TOKEN}"})).text == "fleet"


@pytest.mark.parametrize(("local", "sent", "code"), [("l-1", "l-1", 200), ("l-1", "l-2", 401), ("", "", 401)])
async def test_commands_of_this_machine_have_a_token_of_their_own(local: str, sent: str, code: int) -> None:
    guard = sign_in(FollowedAccess(open_without_rules=False), local)
    async with AsyncTestClient(Litestar([page], guards=[guard])) as client:
        assert (await client.get("/", headers={"Authorization": f"Bearer {sent}"})).status_code == code


PROVIDER = IdentityProvider(name="corp", issuer="https://login.acme.example")


def test_a_provider_is_enough_to_open_the_gateway_and_is_announced() -> None:
    access = FollowedAccess(open_without_rules=False, base_url="https://mcp.acme.example")
    assert access.metadata("github") is None
    rules = GatewayRules(providers=(PROVIDER,), groups=(GroupGrant(name="platform", servers=(("*", ("*",)),)),))
    access.on_event(accepted(rules))
    assert not access.closed
    metadata = access.metadata("github")
    assert metadata is not None
    assert metadata["resource"] == "https://mcp.acme.example/servers/github/mcp"
    with pytest.raises(Refused):
        access.admit(BEARER, "github")
    with pytest.raises(Refused) as caught:
        access.admit(None, "github")
    assert b"resource_metadata=" in dict(caught.value.problem.headers)[b"www-authenticate"]


def test_a_provider_that_stays_keeps_its_keys_and_the_generation_never_goes_back() -> None:
    access = FollowedAccess(open_without_rules=False)
    rules = GatewayRules(providers=(PROVIDER,))
    access.on_event(accepted(rules))
    [issuer] = access._issuers.values()
    issuer.generation += 5
    before = access.generation
    access.on_event(accepted(replace(rules, limits=(CallerLimits(name="*", concurrent=1),))))
    assert list(access._issuers.values()) == [issuer]
    assert access.generation > before
    before = access.generation
    access.on_event(accepted(GatewayRules()))
    assert access.generation > before


def test_limits_go_with_what_they_limit() -> None:
    access = FollowedAccess(open_without_rules=False)
    limits = (CallerLimits(name="ci", requests_per_minute=60), CallerLimits(name="*", concurrent=1))
    access.on_event(accepted(replace(RULES, limits=limits)))
    grant = access.admit(BEARER, "github")
    assert grant is not None
    assert grant.limits == Limits(requests_per_minute=60)

"""Identity providers, groups and limits as manifests state them, and every way to state them wrongly."""

import pytest

from reconciler.core.gateway_rules import CallerLimits, IdentityProvider, NamePrefix
from reconciler.errors import InvalidManifests
from reconciler.sources.manifests import read_manifests

HEAD = "apiVersion: catwalk.dev/v1\nfleet: acme\n"
SERVERS = "servers:\n  github:\n    package: npm:x@1.0.0\n"
CORP = "  auth: {oidc: {corp: {issuer: https://login.acme.com/realms/acme}}}\n"
TWO = '  access: {"corp:a": {github: ["*"]}, "partner:a": {github: ["*"]}}\n'
BOTH = "  auth: {oidc: {corp: {issuer: https://a.example}, partner: {issuer: https://b.example}}}\n"


def fleet(gateway: str, *, file: str = "catwalk.yaml", servers: str = SERVERS) -> dict[str, bytes]:
    return {file: f"{HEAD}{servers}gateway:\n{gateway}".encode()}


def test_a_provider_its_groups_and_limits_become_rules():
    gateway = """\
  auth:
    oidc:
      corp:
        issuer: https://login.acme.com/realms/acme
        audiences: [https://mcp.acme.com]
        scopes: [mcp]
        server_scopes: {git*: [github, "repo:read"]}
        username_claim: email
        groups_claim: realm_access.roles
  access:
    platform: {github: ["get_*"]}
    "corp:/ops team": {"*": ["*"]}
  limits:
    "*": {concurrent: 10}
    platform: {requests_per_minute: 60, burst: 5, calls_per_day: 1000}
"""
    rules = read_manifests(fleet(gateway)).gateway
    assert rules.providers == (
        IdentityProvider(
            name="corp",
            issuer="https://login.acme.com/realms/acme",
            audiences=("https://mcp.acme.com",),
            scopes=("mcp",),
            server_scopes=(("git*", ("github", "repo:read")),),
            username_claim="email",
            groups_claim="realm_access.roles",
        ),
    )
    assert {group.name: dict(group.servers) for group in rules.groups} == {
        "platform": {"github": ("get_*",)},
        "corp:/ops team": {"*": ("*",)},
    }
    assert rules.limits == (
        CallerLimits(name="platform", requests_per_minute=60, burst=5, calls_per_day=1000),
        CallerLimits(name="*", concurrent=10),
    )
    assert rules.name_somebody


def test_groups_can_be_named_where_the_server_is():
    servers = SERVERS + '    access: {"corp:platform": ["get_*"]}\n'
    [group] = read_manifests(fleet(CORP, servers=servers)).gateway.groups
    assert (group.name, dict(group.servers)) == ("corp:platform", {"github": ("get_*",)})


ACCESS = '  access: {platform: {github: ["*"]}}\n'
WRONG = {
    "opens nothing": (CORP, "provider-without-access", "`corp` opens nothing"),
    "not encrypted": (CORP.replace("https", "http") + ACCESS, "bad-url", "is not encrypted"),
    "credentials": (CORP.replace("//", "//me:hunter2@") + ACCESS, "bad-url", "holds a name or a password"),
    "a query": (CORP.replace("/acme}", "/acme?a=b}") + ACCESS, "bad-url", "is no address"),
    "a file": (CORP.replace("https://login.acme.com", "file://") + ACCESS, "bad-url", "is no address"),
    "whose group": (BOTH + ACCESS, "whose-group", "write `corp:platform`"),
    "no such provider": (
        BOTH
        + '  access: {"crop:platform": {github: ["*"]}, "corp:a": {github: ["*"]}, "partner:a": {github: ["*"]}}\n',
        "unknown-provider",
        "did you mean `corp`?",
    ),
    "one of two opens nothing": (
        BOTH + '  access: {"corp:a": {github: ["*"]}}\n',
        "provider-without-access",
        "`partner` opens nothing",
    ),
    "the same issuer twice": (
        BOTH.replace("b.example", "a.example")
        + '  access: {"corp:a": {github: ["*"]}, "partner:a": {github: ["*"]}}\n',
        "duplicate-issuer",
        "keep one of the two",
    ),
    "scopes for no server": (
        CORP.replace("acme}}}", "acme, server_scopes: {gihub: [a]}}}}") + ACCESS,
        "unknown-server",
        "no server fits `gihub`",
    ),
    "a scope with a space": (CORP.replace("acme}}}", 'acme, scopes: ["a b"]}}}') + ACCESS, "bad-scope", "is no scope"),
    "an empty limit": (CORP + ACCESS + "  limits: {platform: {}}\n", "empty-limits", "limits nothing"),
    "no limit": (CORP + ACCESS + "  limits: {platform: {concurrent: 0}}\n", "out-of-range", "must be at least 1"),
    "a limit without value": (CORP + ACCESS + "  limits: {platform: {concurrent: }}\n", "empty-value", "has no value"),
    "a burst of nothing": (CORP + ACCESS + "  limits: {platform: {burst: 5}}\n", "burst-without-rate", "burst"),
    "a limit for nobody": (
        BOTH
        + '  access: {"corp:a": {github: ["*"]}, "partner:a": {github: ["*"]}}\n  limits: {plat: {concurrent: 1}}\n',
        "whose-group",
        "`corp:plat`",
    ),
}


@pytest.mark.parametrize(("gateway", "code", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_meant_is_refused_with_its_place(gateway, code, words):
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(fleet(gateway))
    problem = caught.value.problems[0]
    assert problem.location is not None
    assert problem.location.line >= 7
    assert problem.code == code
    assert words in str(problem)
    assert "hunter2" not in str(problem)


def test_one_provider_and_one_limit_have_one_place():
    other = fleet(
        CORP.replace("login", "sso") + "  limits: {platform: {concurrent: 1}}\n",
        file="wiki/catwalk.yaml",
        servers="servers:\n  wiki:\n    package: npm:x@1.0.0\n",
    )
    files = fleet(CORP + ACCESS + "  limits: {platform: {concurrent: 1}}\n") | other
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(files)
    assert [problem.code for problem in caught.value.problems] == ["duplicate-provider", "duplicate-limits"]


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:9000/realm"])
def test_loopback_needs_no_encryption(host):
    gateway = CORP.replace("https://login.acme.com/realms/acme", f'"http://{host}"') + ACCESS
    assert read_manifests(fleet(gateway)).gateway.providers[0].issuer == f"http://{host}"


@pytest.mark.parametrize(
    ("gateway", "prefix"),
    [
        pytest.param("  access: {}\n", NamePrefix.ALWAYS, id="not stated"),
        pytest.param("  aggregate: {prefix: always}\n", NamePrefix.ALWAYS, id="always"),
        pytest.param("  aggregate: {prefix: unless-alone}\n", NamePrefix.UNLESS_ALONE, id="unless alone"),
    ],
)
def test_a_manifest_says_when_names_have_a_prefix(gateway, prefix):
    assert read_manifests(fleet(gateway)).gateway.prefix is prefix


def test_two_manifests_that_contradict_each_other_about_the_prefix_are_refused():
    other = "servers:\n  time:\n    package: npm:y@1.0.0\n"
    files = fleet("  aggregate: {prefix: always}\n") | fleet(
        "  aggregate: {prefix: unless-alone}\n", file="b/catwalk.yaml", servers=other
    )
    with pytest.raises(InvalidManifests) as raised:
        read_manifests(files)
    (problem,) = raised.value.problems
    assert problem.code == "contradictory-prefix"
    assert "catwalk.yaml:7" in problem.message

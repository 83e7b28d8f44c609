"""Servers that somebody else runs, as manifests state them, and every way to state them wrongly."""

import pytest

from reconciler.core.remotes import ClientGrant, RemoteProgram, filled
from reconciler.core.secret import SecretValue
from reconciler.errors import InvalidManifests
from reconciler.sources.manifests import read_manifests

HEAD = "apiVersion: catwalk.dev/v1\nfleet: acme\nservers:\n  linear:\n"


def fleet(server: str) -> dict[str, bytes]:
    return {"catwalk.yaml": f"{HEAD}{server}".encode()}


def test_a_remote_server_becomes_a_program_without_any_secret():
    [spec] = read_manifests(
        fleet(
            """\
    remote:
      url: https://mcp.linear.app/mcp?tenant=acme
      headers: {X-Team: platform, Authorization: "Bearer ${TOKEN}"}
    secrets: {TOKEN: }
"""
        )
    ).specs
    assert isinstance(spec.package, RemoteProgram)
    assert spec.package == RemoteProgram(
        url="https://mcp.linear.app/mcp?tenant=acme",
        headers=(("Authorization", "Bearer ${TOKEN}"), ("X-Team", "platform")),
    )
    assert str(spec.package) == "remote:https://mcp.linear.app/mcp"
    assert spec.secret_names == ("TOKEN",)


def test_a_token_can_come_from_an_authorization_server():
    [spec] = read_manifests(
        fleet(
            """\
    remote:
      url: https://mcp.linear.app/mcp
      oauth:
        token_url: https://login.linear.app/token
        client_id: catwalk
        client_secret: ${CLIENT_SECRET}
        scopes: [read, write]
        method: post
    secrets: {CLIENT_SECRET: }
"""
        )
    ).specs
    assert isinstance(spec.package, RemoteProgram)
    assert spec.package.grant == ClientGrant(
        token_url="https://login.linear.app/token",
        client_id="catwalk",
        client_secret="${CLIENT_SECRET}",
        scopes=("read", "write"),
        method="post",
    )


def test_a_value_is_filled_with_secrets_and_stays_one():
    value = filled("Basic ${A}:${B}!", {"A": SecretValue("canary-1"), "B": SecretValue("$ {x}")})
    assert value.reveal() == "Basic canary-1:$ {x}!"
    assert "canary" not in repr(value)


URL = "https://mcp.linear.app/mcp"
OAUTH = "{token_url: https://a.example/token, client_id: me, client_secret: '${S}'}"
WRONG = {
    "not encrypted": ("remote: {url: http://mcp.linear.app/mcp}", "bad-url", "is not encrypted"),
    "credentials in the address": ("remote: {url: 'https://u:hunter2@mcp.linear.app/'}", "bad-url", "password"),
    "no address": ("remote: {}", "missing-key", "`url`"),
    "a token in the open": (
        f"remote: {{url: {URL}, headers: {{authorization: Bearer hunter2}}}}",
        "unencrypted-secret",
        "not encrypted",
    ),
    "a secret in the open": (
        f"remote: {{url: {URL}, oauth: {OAUTH.replace('${S}', 'hunter2')}}}",
        "unencrypted-secret",
        "not encrypted",
    ),
    "an undeclared secret": (
        f"remote: {{url: {URL}, headers: {{Authorization: 'Bearer ${{TOKEN}}'}}}}",
        "undeclared-secret",
        "names the secret `TOKEN`",
    ),
    "a secret that nobody gets": (f"remote: {{url: {URL}}}\n    secrets: {{TOKEN: }}", "unused-secret", "`TOKEN`"),
    "the gateway's own header": (
        f"remote: {{url: {URL}, headers: {{Mcp-Session-Id: a}}}}",
        "bad-header",
        "the gateway writes itself",
    ),
    "a header that breaks lines": (
        f'remote: {{url: {URL}, headers: {{X-A: "a\\r\\nHost: b"}}}}',
        "bad-header",
        "no value that a header can have",
    ),
    "no header": (f"remote: {{url: {URL}, headers: {{'a b': c}}}}", "bad-header", "no name of a header"),
    "a header twice": (f"remote: {{url: {URL}, headers: {{X-A: a, x-a: b}}}}", "duplicate-header", "twice"),
    "two credentials": (
        f"remote: {{url: {URL}, headers: {{Authorization: '${{S}}'}}, oauth: {OAUTH}}}\n    secrets: {{S: }}",
        "duplicate-header",
        "keep one of the two",
    ),
    "a machine": (f"remote: {{url: {URL}}}\n    vm: {{memory_mb: 512}}", "not-for-remotes", "`vm`"),
    "two sources": (f"remote: {{url: {URL}}}\n    package: npm:x@1.0.0", "several-sources", "2 sources"),
}


@pytest.mark.parametrize(("server", "code", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_meant_is_refused_without_repeating_a_secret(server, code, words):
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(fleet(f"    {server}\n"))
    problem = caught.value.problems[0]
    assert problem.code == code
    assert words in str(problem)
    assert problem.location is not None
    assert problem.location.line >= 4
    assert "hunter2" not in "".join(map(str, caught.value.problems))


def test_it_is_not_paid_for_and_the_policy_speaks_of_its_address():
    server = (
        f"    remote: {{url: {URL}}}\npolicy: {{max_monthly_cost: 0.01, allow: ['remote:https://mcp.linear.app/*']}}\n"
    )
    assert read_manifests(fleet(server)).specs
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(fleet(server.replace("remote:https://mcp.linear.app", "remote:https://mcp.acme.example")))
    assert [problem.code for problem in caught.value.problems] == ["not-allowed-by-policy"]

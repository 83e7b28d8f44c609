"""The rules of the gateway as manifests state them, and every way to state them wrongly."""

import pytest

from reconciler.errors import InvalidManifests
from reconciler.sources.manifests import read_manifests

HASH, OTHER = "a" * 64, "b" * 64
HEAD = "apiVersion: catwalk.dev/v1\nfleet: acme\n"
SERVERS = "servers:\n  github:\n    package: npm:x@1.0.0\n"


def fleet(gateway: str, *, file: str = "catwalk.yaml", servers: str = SERVERS) -> dict[str, bytes]:
    return {file: f"{HEAD}{servers}gateway:\n{gateway}".encode()}


def test_tokens_and_access_of_all_manifests_are_one():
    files = fleet(f"  auth: {{tokens: {{ci: {{sha256: {HASH}}}}}}}\n  access: {{ci: {{github: [get_*]}}}}\n") | fleet(
        '  access: {ci: {github: ["*"], "wiki": ["*"]}}\n',
        file="wiki/catwalk.yaml",
        servers="servers:\n  wiki:\n    package: npm:x@1.0.0\n",
    )
    [token] = read_manifests(files).gateway.tokens
    assert (token.name, token.sha256) == ("ci", HASH)
    assert dict(token.servers) == {"github": ("get_*",), "wiki": ("*",)}


def test_a_manifest_that_says_nothing_names_nobody():
    assert read_manifests({"catwalk.yaml": f"{HEAD}{SERVERS}".encode()}).gateway.tokens == ()


TOKEN = f"  auth: {{tokens: {{ci: {{sha256: {HASH}}}}}}}\n"
WRONG = {
    "opens nothing": (TOKEN, "token-without-access", "7:19", "the token `ci` opens nothing"),
    "for nobody": (
        TOKEN + '  access: {ci: {github: ["*"]}, cii: {github: ["*"]}}\n',
        "unknown-token",
        "8:33",
        "did you mean `ci`?",
    ),
    "no such server": (TOKEN + '  access: {ci: {gihub: ["*"]}}\n', "unknown-server", "8:17", "did you mean `github`?"),
    "no tools": (TOKEN + "  access: {ci: {github: []}}\n", "empty-value", "8:25", "must not be empty"),
    "no hash": ("  auth: {tokens: {ci: {sha256: hunter2}}}\n", "bad-hash", "7:32", "64 hexadecimal digits"),
    "a hash in capitals": (
        f"  auth: {{tokens: {{ci: {{sha256: {'A' * 64}}}}}}}\n",
        "bad-hash",
        "7:32",
        "64 hexadecimal digits",
    ),
    "the token itself": ("  auth: {tokens: {ci: {token: hunter2}}}\n", "missing-key", "7:19", "add `sha256`"),
}


@pytest.mark.parametrize(("gateway", "code", "place", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_rule_that_cannot_be_meant_is_refused_with_its_place(gateway, code, place, words):
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(fleet(gateway))
    problem = caught.value.problems[0]
    assert problem.location is not None
    assert (problem.code, f"{problem.location.line}:{problem.location.column}") == (code, place)
    assert words in str(problem)
    assert "hunter2" not in str(problem)


def test_one_token_has_one_place():
    both = fleet(TOKEN + '  access: {ci: {github: ["*"]}}\n') | fleet(
        f"  auth: {{tokens: {{ci: {{sha256: {OTHER}}}}}}}\n",
        file="wiki/catwalk.yaml",
        servers="servers:\n  wiki:\n    package: npm:x@1.0.0\n",
    )
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(both)
    assert [problem.code for problem in caught.value.problems] == ["duplicate-token"]

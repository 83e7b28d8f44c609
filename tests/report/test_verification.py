"""What GitHub says of a signature, and what Catwalk makes of it."""

import pytest

from reconciler.errors import SourceError, Unavailable
from reconciler.report.repository import Repository
from reconciler.report.verification import GitHubVerifier

SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
REPOSITORY = Repository(host="github.com", owner="acme", name="fleet")


@pytest.fixture
def said(github, canned, door):
    """A verifier, and what GitHub shall say."""
    answers: list[object] = []

    def route(method, path, _headers, _body):
        return canned(200, body=answers[0]) if (method, path) == ("GET", f"/repos/acme/fleet/commits/{SHA}") else None

    github.routes.append(route)
    return GitHubVerifier(door, REPOSITORY), answers


def commit(*, verified: bool, reason: str, sha: str = SHA) -> dict[str, object]:
    verification = {"verified": verified, "reason": reason, "signature": None, "payload": None, "verified_at": None}
    return {"sha": sha, "commit": {"message": "x", "verification": verification}, "parents": []}


async def test_a_commit_that_github_verified_passes(said):
    verifier, answers = said
    answers.append(commit(verified=True, reason="valid"))
    assert await verifier.verify(SHA) is None


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        (commit(verified=False, reason="unsigned"), "commit-unsigned", "unsigned"),
        (commit(verified=False, reason="unknown_key"), "commit-signature-invalid", "unknown_key"),
        (commit(verified=False, reason="<b>@acme"), "commit-signature-invalid", "unknown"),
        (commit(verified=True, reason="valid", sha="b" * 40), "commit-signature-invalid", "valid"),
    ],
    ids=["unsigned", "unknown key", "a word that is none", "another commit"],
)
async def test_what_github_did_not_verify_is_refused_with_its_reason(said, answer, code, word):
    verifier, answers = said
    answers.append(answer)
    with pytest.raises(SourceError, match=word) as refusal:
        await verifier.verify(SHA)
    assert refusal.value.problem.code == code


async def test_an_answer_without_a_verdict_is_no_verdict(said):
    verifier, answers = said
    answers.append({"sha": SHA, "commit": {}})
    with pytest.raises(Unavailable):
        await verifier.verify(SHA)

"""Asks GitHub whether it believes the signature of a commit (REST docs, "Get a commit", `commit.verification`)."""

from pydantic import BaseModel

from reconciler.errors import SourceError
from reconciler.report.connection import read
from reconciler.report.github import GitHub
from reconciler.report.repository import Repository


class _Verification(BaseModel):
    verified: bool
    reason: str = ""


class _Body(BaseModel):
    verification: _Verification


class _Commit(BaseModel):
    sha: str
    commit: _Body


class GitHubVerifier:
    """Implements `HostVerifier`."""

    def __init__(self, github: GitHub, repository: Repository) -> None:
        self._github, self._repository = github, repository

    async def verify(self, commit: str) -> None:
        """Lets a commit pass whose signature GitHub has verified.

        Raises:
            SourceError: it has not, and in its own word why.
            CatwalkError: see `GitHub.create_status`.
        """
        answer = await self._github.call("GET", f"/repos/{self._repository.full_name}/commits/{commit}")
        found = read(_Commit, answer)
        verification = found.commit.verification
        if found.sha != commit or not verification.verified:
            word = verification.reason if verification.reason.replace("_", "").isalnum() else "unknown"
            raise SourceError(
                "commit-unsigned" if word == "unsigned" else "commit-signature-invalid",
                f"GitHub has not verified the signature of the commit: {word}",
                hint="sign it with a key that GitHub knows, or merge it on GitHub, which signs then",
            )

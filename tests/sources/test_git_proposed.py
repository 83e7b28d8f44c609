"""Commits of pull requests and merge queues, fetched from a real git server as data."""

import pytest

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault, SourceError
from reconciler.loop.ports import Proposal
from reconciler.sources.git import HttpsToken, RemoteSource


def source_of(url, tmp_path, **more: object) -> RemoteSource:
    return RemoteSource(url=url, state_dir=tmp_path / "state", branch="main", **more)


@pytest.fixture
def proposed(repository) -> Proposal:
    """A commit that no branch holds, as that of a fork, under the name that GitHub gives it."""
    repository.git("config", "uploadpack.allowAnySHA1InWant", "false")
    repository.git("checkout", "--quiet", "--detach")
    repository.write("catwalk.yaml", b"apiVersion: catwalk.dev/v1\nfleet: acme\nservers: {}\n")
    repository.write("evil.sh", b"#!/bin/sh\ntouch /owned\n")
    commit = repository.commit("Propose")
    repository.git("update-ref", "refs/pull/12/head", commit)
    repository.git("checkout", "--quiet", "main")
    return Proposal(number=12, commit=commit, ref="refs/pull/12/head")


async def test_a_proposed_commit_is_read_without_a_checkout(git_http, tmp_path, proposed):
    revision, files = await source_of(git_http.url, tmp_path).proposed(proposed)
    assert (revision.commit, revision.subject) == (proposed.commit, "Propose")
    assert list(files) == ["catwalk.yaml"]
    assert not list((tmp_path / "state").rglob("evil.sh"))


async def test_a_commit_of_a_merge_queue_is_read_by_its_branch(git_http, tmp_path, repository, proposed):
    ref = f"refs/heads/gh-readonly-queue/main/pr-12-{proposed.commit}"
    repository.git("update-ref", ref, proposed.commit)
    revision, _ = await source_of(git_http.url, tmp_path).proposed(Proposal(number=0, commit=proposed.commit, ref=ref))
    assert revision.branch == ref


async def test_a_commit_that_was_pushed_over_is_gone(git_http, tmp_path, proposed):
    with pytest.raises(SourceError, match="pushed over"):
        await source_of(git_http.url, tmp_path).proposed(Proposal(number=12, commit="0" * 40, ref=proposed.ref))


async def test_reading_a_proposal_does_not_move_what_is_followed(git_http, tmp_path, proposed, repository):
    source = source_of(git_http.url, tmp_path)
    before = await source.head()
    await source.proposed(proposed)
    assert await source.head() == before
    assert before.commit == repository.git("rev-parse", "main")


async def test_each_operation_uses_the_credentials_of_its_time(git_http, tmp_path, repository):
    git_http.password = "first"
    tokens = iter(["first", "stale", "second"])

    async def lend() -> HttpsToken:
        return HttpsToken(token=SecretValue(next(tokens)))

    source = source_of(git_http.url, tmp_path, lender=lend)
    await source.head()
    git_http.password = "second"
    with pytest.raises(EnvironmentFault, match="refuses the credentials"):
        await source.head()
    assert (await source.head()).commit == repository.git("rev-parse", "main")


async def test_a_lent_token_never_travels_in_the_clear(tmp_path):
    async def lend() -> HttpsToken:
        return HttpsToken(token=SecretValue("token-canary"))

    source = source_of("http://git.example.com/acme/fleet", tmp_path, lender=lend)
    with pytest.raises(EnvironmentFault, match="unencrypted"):
        await source.head()

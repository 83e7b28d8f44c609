"""Which commits take effect where signatures are wanted, with commits that git signed in a real repository."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.signatures import SignatureWay
from reconciler.errors import SourceError, Unavailable
from reconciler.loop.revisions import Revisions
from reconciler.loop.store import open_store
from reconciler.loop.trust import ALLOWED_SIGNERS, SHELF, CommitTrust, TrustSettings, Verifiers
from reconciler.sources.git import discover
from reconciler.sources.manifests import read_manifests
from reconciler.sources.signatures import SSHSignatures
from tests.sources.conftest import MANIFEST, Repository

SIGNED = MANIFEST + b"policy:\n  signed_commits: ssh\n"


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Memory:
    """Of the last good revision alone."""

    def __init__(self) -> None:
        self.good = None

    async def last_good(self):
        return self.good

    async def keep_last_good(self, revision):
        self.good = revision


class Host:
    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None

    async def verify(self, _commit) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault


class Scene:
    """A repository, its people's keys, and the choice of the revision in force."""

    def __init__(self, repository: Repository, folder, store) -> None:
        self.repository, self.folder, self.store = repository, folder, store
        self.memory, self.clock, self.host = Memory(), Clock(), Host()
        self.begin()

    def begin(self, settings: TrustSettings | None = None) -> None:
        """As a process that has just started."""
        source = discover(self.repository.path)
        verifiers = Verifiers(keys={SignatureWay.SSH: SSHSignatures()}, host=self.host)
        shelf = self.store.shelf(SHELF)
        trust = CommitTrust(source, shelf, verifiers, self.clock, settings or TrustSettings())
        self.revisions = Revisions(source, read_manifests, self.memory, trust)

    def key(self, name: str) -> str:
        """The public key of a person."""
        path = self.folder / name
        if not path.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        return (self.folder / f"{name}.pub").read_text(encoding="utf-8").strip()

    def commit(self, *, by: str = "", manifest: bytes = SIGNED, signers: tuple[str, ...] | None = None) -> str:
        self.repository.write("catwalk.yaml", manifest)
        self.repository.write("note", os.urandom(8))
        if signers is not None:
            lines = "".join(f"{name} {self.key(name)}\n" for name in signers)
            self.repository.write(ALLOWED_SIGNERS, lines.encode())
        self.repository.git("add", "--all")
        signing = ("-S",) if by else ("--no-gpg-sign",)
        if by:
            self.key(by)
        options = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.folder / (by or 'nobody')}")
        self.repository.git(*options, "commit", "--quiet", *signing, "--message", "Change")
        return self.repository.git("rev-parse", "HEAD")

    async def look(self) -> tuple[str, str]:
        """A pass: the commit that is in force then, and the code of what was refused."""
        choice = await self.revisions.choose()
        if choice.accepted is not None and choice.refusal is None:
            await self.revisions.keep_good(choice.accepted)
        commit = choice.accepted.revision.commit if choice.accepted else ""
        return commit, choice.refusal.problems[0].code if choice.refusal else ""


@pytest.fixture
async def scene(tmp_path, world):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    path = tmp_path / "fleet"
    path.mkdir()
    made = Repository(path)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit("Begin")
    store = await open_store(tmp_path / "state", world.clock)
    yield Scene(made, tmp_path, store)
    store.close()


async def test_without_a_policy_nobody_must_sign(scene):
    commit = scene.commit(manifest=MANIFEST)
    assert await scene.look() == (commit, "")


async def test_an_unsigned_commit_does_not_take_effect_and_the_last_good_one_stays(scene):
    first = scene.commit(by="ann", signers=("ann",))
    assert await scene.look() == (first, "")
    scene.commit()
    assert await scene.look() == (first, "commit-unsigned")
    third = scene.commit(by="ann")
    assert await scene.look() == (third, "")


async def test_a_commit_cannot_lift_the_rule_that_it_breaks(scene):
    first = scene.commit(by="ann", signers=("ann",))
    await scene.look()
    scene.commit(manifest=MANIFEST)
    assert await scene.look() == (first, "commit-unsigned")
    scene.begin()
    assert await scene.look() == (first, "commit-unsigned"), "nor does a restart help"
    lifted = scene.commit(by="ann", manifest=MANIFEST)
    assert await scene.look() == (lifted, "")
    unsigned = scene.commit(manifest=MANIFEST)
    assert await scene.look() == (unsigned, "")


async def test_nobody_adds_themselves_to_those_who_may_sign(scene):
    first = scene.commit(by="ann", signers=("ann",))
    await scene.look()
    scene.commit(by="eve", signers=("ann", "eve"))
    assert await scene.look() == (first, "commit-signer-unknown")
    added = scene.commit(by="ann", signers=("ann", "bob"))
    assert await scene.look() == (added, "")
    by_bob = scene.commit(by="bob")
    assert await scene.look() == (by_bob, "")


async def test_who_was_taken_off_the_list_signs_nothing_more(scene):
    scene.commit(by="ann", signers=("ann", "bob"))
    await scene.look()
    without = scene.commit(by="bob", signers=("ann",))
    assert await scene.look() == (without, "")
    scene.commit(by="bob")
    assert await scene.look() == (without, "commit-signer-unknown")


async def test_a_rewritten_history_takes_the_rule_not_away(scene):
    first = scene.commit(by="ann", signers=("ann",))
    await scene.look()
    scene.repository.git("checkout", "--quiet", "--orphan", "other")
    scene.commit(by="eve", signers=("eve",))
    scene.repository.git("branch", "--force", "main", "HEAD")
    scene.repository.git("checkout", "--quiet", "main")
    scene.begin()
    assert (await scene.look())[1] == "commit-signer-unknown"
    assert scene.memory.good.commit == first


async def test_a_rule_without_anybody_who_may_sign_lets_nothing_in(scene):
    scene.commit(by="ann")
    assert await scene.look() == ("", "signers-unknown")


async def test_the_list_of_the_control_plane_counts_alone(scene):
    scene.begin(TrustSettings(ways=(SignatureWay.SSH,), allowed_signers=f"ann {scene.key('ann')}\n"))
    scene.commit(by="eve", manifest=MANIFEST, signers=("eve",))
    assert await scene.look() == ("", "commit-signer-unknown")
    good = scene.commit(by="ann", manifest=MANIFEST)
    assert await scene.look() == (good, "")


async def test_github_is_asked_once_a_minute_about_a_commit_that_it_refuses(scene):
    scene.begin(TrustSettings(ways=(SignatureWay.GITHUB,)))
    scene.commit(manifest=MANIFEST)
    scene.host.fault = SourceError("commit-unsigned", "GitHub has not verified the signature of the commit: unsigned")
    for _ in range(5):
        assert await scene.look() == ("", "commit-unsigned")
    assert scene.host.asked == 1
    scene.clock.time += timedelta(seconds=61)
    scene.host.fault = None
    assert (await scene.look())[1] == ""
    await scene.look()
    assert scene.host.asked == 2


async def test_what_cannot_be_found_out_refuses_the_commit_and_is_asked_again(scene):
    first = scene.commit(by="ann", signers=("ann",))
    await scene.look()
    scene.begin(TrustSettings(ways=(SignatureWay.GITHUB,)))
    second = scene.commit(by="ann")
    scene.host.fault = Unavailable("github-unavailable", "GitHub does not answer")
    assert await scene.look() == (first, "github-unavailable")
    scene.host.fault = None
    assert await scene.look() == (second, "")


async def test_two_ways_must_both_be_satisfied(scene):
    scene.begin(TrustSettings(ways=(SignatureWay.GITHUB,)))
    scene.host.fault = SourceError("commit-signature-invalid", "unknown_key")
    scene.commit(by="ann", signers=("ann",))
    assert await scene.look() == ("", "commit-signature-invalid")


async def test_a_way_that_cannot_be_checked_here_refuses_the_commit(scene):
    scene.begin(TrustSettings(ways=(SignatureWay.GPG,)))
    scene.commit(by="ann", manifest=MANIFEST)
    assert await scene.look() == ("", "signatures-unchecked")

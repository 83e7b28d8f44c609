"""Following a repository on this machine: real git, real commits."""

import os
from datetime import UTC, datetime

import pytest

from reconciler.core.types import Revision
from reconciler.errors import EnvironmentFault, SourceError, Unavailable
from reconciler.sources import layout
from reconciler.sources.git import LocalSource, WorktreeSource, discover
from reconciler.sources.manifests import read_manifests

SECRET = b"for: acme/time/TOKEN\n"


async def test_the_head_of_the_checked_out_branch_is_read(repository) -> None:
    revision = await discover(repository.path).head()
    assert revision.commit == repository.git("rev-parse", "HEAD")
    assert (revision.branch, revision.subject) == ("main", "Declare the fleet")
    assert revision.source == str(repository.path)
    assert revision.committed_at == datetime.fromtimestamp(int(repository.git("log", "-1", "--format=%ct")), UTC)


async def test_files_are_manifests_and_the_secrets_beside_them_and_nothing_else(repository) -> None:
    repository.write("secrets/time/TOKEN.sops.yaml", SECRET)
    repository.write("secrets/time/README.md", b"no")
    repository.write("elsewhere/secrets/time/TOKEN.sops.yaml", b"no manifest beside it")
    repository.write("team/catwalk.yaml")
    repository.write("team/secrets/time/TOKEN.sops.yaml", SECRET)
    repository.write("main.py", b"no")
    repository.commit()
    source = discover(repository.path)
    files = await source.files(await source.head())
    assert sorted(files) == [
        "catwalk.yaml",
        "secrets/time/TOKEN.sops.yaml",
        "team/catwalk.yaml",
        "team/secrets/time/TOKEN.sops.yaml",
    ]
    assert files["secrets/time/TOKEN.sops.yaml"] == SECRET


async def test_a_subdirectory_is_followed_with_paths_of_its_own(repository) -> None:
    repository.write(".fleets/acme/catwalk.yaml", b"fleet: inner")
    repository.commit()
    source = discover(repository.path / ".fleets" / "acme")
    assert source.inside == ".fleets/acme"
    assert await source.files(await source.head()) == {"catwalk.yaml": b"fleet: inner"}


async def test_uncommitted_changes_are_not_wanted_yet(repository) -> None:
    repository.write("catwalk.yaml", b"changed")
    source = discover(repository.path)
    assert read_manifests(await source.files(await source.head())).fleet == "acme"


async def test_an_older_revision_is_read_as_it_was(repository) -> None:
    source = discover(repository.path)
    first = await source.head()
    repository.write("catwalk.yaml", b"second")
    repository.commit()
    second = await source.head()
    assert (await source.files(second))["catwalk.yaml"] == b"second"
    assert (await source.files(first))["catwalk.yaml"] != b"second"


async def test_a_named_branch_is_followed_whatever_is_checked_out(repository) -> None:
    repository.git("checkout", "--quiet", "-b", "staging")
    repository.write("catwalk.yaml", b"staged")
    staged = repository.commit()
    repository.git("checkout", "--quiet", "main")
    revision = await discover(repository.path, branch="staging").head()
    assert (revision.commit, revision.branch) == (staged, "staging")


async def test_a_detached_head_is_followed(repository) -> None:
    repository.git("checkout", "--quiet", "--detach")
    assert (await discover(repository.path).head()).branch == "HEAD"


async def test_a_bare_repository_is_followed(repository, tmp_path) -> None:
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(tmp_path / "bare.git"))
    source = discover(tmp_path / "bare.git")
    assert list(await source.files(await source.head())) == ["catwalk.yaml"]


async def test_a_linked_work_tree_is_followed(repository, tmp_path) -> None:
    repository.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    source = discover(tmp_path / "side")
    assert (await source.head()).branch == "side"
    assert list(await source.files(await source.head())) == ["catwalk.yaml"]


def test_a_directory_in_no_repository_is_explained(tmp_path) -> None:
    with pytest.raises(EnvironmentFault, match="not in a git repository") as caught:
        discover(tmp_path)
    assert caught.value.problem.code == "no-repository"
    assert "git init" in caught.value.problem.hint
    assert "--worktree" in caught.value.problem.hint


def test_a_missing_directory_and_a_file_are_explained(tmp_path) -> None:
    with pytest.raises(EnvironmentFault, match="does not exist"):
        discover(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match="is a file"):
        discover(tmp_path / "file")


def test_a_repository_without_commits_is_explained(repository, tmp_path) -> None:
    empty = tmp_path / "empty"
    repository.git("init", "--quiet", str(empty))
    with pytest.raises(EnvironmentFault, match="has no commit yet"):
        discover(empty)


def test_a_missing_branch_is_explained_with_those_that_exist(repository) -> None:
    with pytest.raises(EnvironmentFault, match="no branch production") as caught:
        discover(repository.path, branch="production")
    assert "main" in caught.value.problem.hint


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a repository away")
def test_a_repository_of_another_user_is_explained(repository) -> None:
    for folder in (repository.path, repository.path / ".git"):
        os.chown(folder, 12345, 12345)
    with pytest.raises(EnvironmentFault, match="belongs to another user"):
        discover(repository.path)


def test_a_storage_format_that_libgit2_does_not_know_is_explained(repository) -> None:
    repository.git("config", "core.repositoryformatversion", "1")
    repository.git("config", "extensions.catwalktest", "true")
    with pytest.raises(EnvironmentFault, match="storage format"):
        discover(repository.path)


async def test_a_directory_that_was_never_committed_is_explained(repository) -> None:
    repository.write("new/catwalk.yaml")
    source = discover(repository.path / "new")
    with pytest.raises(SourceError, match="not part of the commit") as caught:
        await source.files(await source.head())
    assert "--worktree" in caught.value.problem.hint


@pytest.mark.parametrize("commit", ["0" * 40, "worktree:abc", "", "zz"])
async def test_a_commit_that_is_not_there_is_gone_and_not_empty(repository, commit) -> None:
    source = discover(repository.path)
    with pytest.raises(SourceError, match="no longer in the repository"):
        await source.files(Revision(commit=commit, branch="main", source="x"))


async def test_a_tree_is_no_commit(repository) -> None:
    tree = repository.git("rev-parse", "HEAD^{tree}")
    with pytest.raises(SourceError, match="no longer in the repository"):
        await discover(repository.path).files(Revision(commit=tree, branch="main", source="x"))


async def test_a_large_manifest_is_refused_before_it_is_read(repository) -> None:
    repository.write("catwalk.yaml", b"#" * (layout.LARGEST_FILE_BYTES + 1))
    repository.commit()
    source = discover(repository.path)
    with pytest.raises(SourceError, match=r"catwalk\.yaml has 1048577 bytes"):
        await source.files(await source.head())


async def test_a_symbolic_link_is_never_followed(repository) -> None:
    (repository.path / "catwalk.yaml").unlink()
    (repository.path / "catwalk.yaml").symlink_to("/etc/passwd")
    repository.commit()
    for source in (discover(repository.path), WorktreeSource(directory=repository.path)):
        with pytest.raises(SourceError, match="symbolic link"):
            await source.files(await source.head())


async def test_too_many_manifests_are_refused(repository, monkeypatch) -> None:
    monkeypatch.setattr(layout, "MOST_MANIFESTS", 1)
    repository.write("more/catwalk.yaml")
    repository.commit()
    source = discover(repository.path)
    with pytest.raises(SourceError, match="there are 2 manifests; at most 1"):
        await source.files(await source.head())


async def test_a_repository_that_disappears_is_an_error_and_no_empty_fleet(repository) -> None:
    source = discover(repository.path)
    repository.path.rename(repository.path.with_name("moved"))
    with pytest.raises(EnvironmentFault):
        await source.head()


async def test_a_damaged_repository_is_an_error_and_no_empty_fleet(repository) -> None:
    source = discover(repository.path)
    revision = await source.head()
    blob = repository.git("rev-parse", "HEAD:catwalk.yaml")
    stored = repository.path / ".git" / "objects" / blob[:2] / blob[2:]
    stored.chmod(0o600)
    stored.write_bytes(b"damaged")
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        await source.files(revision)


async def test_uncommitted_files_are_followed_on_request(repository) -> None:
    source = WorktreeSource(directory=repository.path)
    first = await source.head()
    assert first.commit.startswith("worktree:")
    assert first.short == "worktree"
    repository.write("catwalk.yaml", b"changed")
    second = await source.head()
    assert second.commit != first.commit
    assert await source.files(second) == {"catwalk.yaml": b"changed"}
    assert (await source.files(first))["catwalk.yaml"] != b"changed"
    assert (await source.head()).commit == second.commit


async def test_a_directory_without_git_is_followed_on_request(tmp_path) -> None:
    (tmp_path / "catwalk.yaml").write_bytes(b"x")
    source = WorktreeSource(directory=tmp_path)
    assert await source.files(await source.head()) == {"catwalk.yaml": b"x"}


async def test_ignored_files_and_the_state_directory_are_not_followed(repository) -> None:
    repository.write(".gitignore", b"node_modules/\n")
    repository.write("node_modules/x/catwalk.yaml")
    repository.write(".catwalk/mirror/catwalk.yaml")
    source = WorktreeSource(directory=repository.path)
    assert list(await source.files(await source.head())) == ["catwalk.yaml"]


async def test_an_unknown_snapshot_of_uncommitted_files_is_not_empty(tmp_path) -> None:
    source = WorktreeSource(directory=tmp_path)
    with pytest.raises(Unavailable, match="have changed since"):
        await source.files(Revision(commit="worktree:0", branch="worktree", source="x"))


def test_a_local_source_is_a_value(repository) -> None:
    assert isinstance(discover(repository.path), LocalSource)
    assert discover(repository.path) == discover(repository.path)

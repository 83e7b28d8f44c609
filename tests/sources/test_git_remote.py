"""Following a repository on a git host: a real server, real faults, and the guards that libgit2 leaves out."""

import base64
import getpass
import hashlib
import threading

import anyio
import pytest

from reconciler.core.secret import SecretValue
from reconciler.core.types import Revision
from reconciler.errors import CatwalkError, EnvironmentFault, SourceError, Unavailable
from reconciler.sources.git import HttpsToken, RemoteSource, SshKey, TransportLimits
from reconciler.sources.git.transport import SHIPPED_KNOWN_HOSTS, parse_address

TOKEN = "ghp-hunter2"
FAST = TransportLimits(connect_s=1.0, read_s=1.0, total_s=2.0)


@pytest.fixture
def source(git_http, tmp_path):
    def make(**fields: object) -> RemoteSource:
        return RemoteSource(**{"url": git_http.url, "state_dir": tmp_path / "state", "limits": FAST, **fields})

    return make


def with_token(token: str = TOKEN) -> HttpsToken:
    return HttpsToken(token=SecretValue(token))


async def test_the_default_branch_of_the_host_is_followed(repository, source) -> None:
    remote = source()
    revision = await remote.head()
    assert revision.commit == repository.git("rev-parse", "HEAD")
    assert (revision.branch, revision.subject) == ("main", "Declare the fleet")
    assert list(await remote.files(revision)) == ["catwalk.yaml"]


async def test_a_new_commit_is_fetched_and_the_old_one_stays_readable(repository, source) -> None:
    remote = source()
    first = await remote.head()
    repository.write("catwalk.yaml", b"second")
    repository.commit()
    second = await remote.head()
    assert await remote.files(second) == {"catwalk.yaml": b"second"}
    assert (await remote.files(first))["catwalk.yaml"] != b"second"


async def test_a_branch_that_did_not_move_is_not_fetched_again(git_http, source) -> None:
    remote = source()
    await remote.head()
    git_http.requests.clear()
    await remote.head()
    assert [line.split("?")[0] for line in git_http.requests] == ["GET /fleet/.git/info/refs"]


async def test_a_rewritten_branch_is_followed(repository, source) -> None:
    remote = source()
    await remote.head()
    repository.write("catwalk.yaml", b"rewritten")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--amend", "--message", "Rewritten")
    revision = await remote.head()
    assert revision.subject == "Rewritten"
    assert await remote.files(revision) == {"catwalk.yaml": b"rewritten"}


async def test_a_named_branch_and_a_subdirectory_are_followed(repository, source) -> None:
    repository.git("checkout", "--quiet", "-b", "staging")
    repository.write("team/catwalk.yaml", b"staged")
    staged = repository.commit()
    repository.git("checkout", "--quiet", "main")
    remote = source(branch="staging", directory="./team/")
    revision = await remote.head()
    assert revision.commit == staged
    assert await remote.files(revision) == {"catwalk.yaml": b"staged"}


async def test_the_mirror_outlives_the_process_and_serves_without_the_host(git_http, source) -> None:
    revision = await source().head()
    git_http.fault = "500"
    assert list(await source().files(revision)) == ["catwalk.yaml"]


async def test_a_lost_mirror_is_fetched_again_by_commit(repository, source) -> None:
    remote = source()
    first = await remote.head()
    repository.write("catwalk.yaml", b"second")
    repository.commit()
    (remote.mirror / "HEAD").unlink()
    assert (await remote.files(first))["catwalk.yaml"] != b"second"


async def test_a_mirror_starts_afresh_after_some_fetches(repository, source) -> None:
    remote = source(limits=TransportLimits(connect_s=1.0, read_s=1.0, total_s=5.0, fetches_per_mirror=3))
    packs = []
    for number in range(8):
        repository.write("catwalk.yaml", f"{number}".encode())
        repository.commit()
        revision = await remote.head()
        assert await remote.files(revision) == {"catwalk.yaml": f"{number}".encode()}
        packs.append(len(list((remote.mirror / "objects" / "pack").glob("*.pack"))))
    assert max(packs) == 3
    assert packs.count(1) >= 2


async def test_a_token_opens_a_private_repository(git_http, source) -> None:
    git_http.password = TOKEN
    remote = source(credentials=with_token())
    assert list(await remote.files(await remote.head())) == ["catwalk.yaml"]
    sent = base64.b64decode(git_http.authorizations[0].partition(" ")[2]).decode()
    assert sent == f"x-access-token:{TOKEN}"


async def test_a_wrong_token_is_tried_once_and_explained(git_http, source) -> None:
    git_http.password = "another"
    with pytest.raises(EnvironmentFault, match="refuses the credentials") as caught:
        await source(credentials=with_token()).head()
    assert caught.value.problem.code == "git-credentials"
    assert len(git_http.authorizations) == 1
    assert TOKEN not in str(caught.value)


async def test_a_private_repository_without_a_token_is_explained(git_http, source) -> None:
    git_http.password = TOKEN
    with pytest.raises(EnvironmentFault, match="wants credentials"):
        await source().head()


async def test_a_redirect_to_another_host_gets_no_credentials(git_http, other_git_http, source) -> None:
    git_http.fault = f"http://localhost:{other_git_http.port}"
    other_git_http.password = TOKEN
    with pytest.raises(EnvironmentFault, match="redirects to localhost") as caught:
        await source(credentials=with_token()).head()
    assert caught.value.problem.code == "git-redirected"
    assert other_git_http.requests
    assert other_git_http.authorizations == []


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        pytest.param("500", Unavailable, "git-unreachable", id="server error"),
        pytest.param("503", Unavailable, "git-unreachable", id="overloaded"),
        pytest.param("404", EnvironmentFault, "repository-not-found", id="not found"),
        pytest.param("403", EnvironmentFault, "git-credentials", id="forbidden"),
        pytest.param("hang", Unavailable, "git-timeout", id="silence"),
        pytest.param("trickle", Unavailable, "git-timeout", id="a byte now and then"),
    ],
)
async def test_a_fault_of_the_host_says_who_can_clear_it(git_http, source, fault, kind, code) -> None:
    git_http.fault = fault
    with anyio.fail_after(20), pytest.raises(kind) as caught:
        await source().head()
    assert caught.value.problem.code == code
    git_http.released.set()


async def test_a_repository_that_is_not_there_is_explained(git_http, source) -> None:
    with pytest.raises(EnvironmentFault, match="no repository at"):
        await source(url=git_http.url.replace("fleet", "nothing")).head()


async def test_a_host_that_is_down_is_not_now(git_http, source) -> None:
    with pytest.raises(Unavailable) as caught:
        await source(url="http://127.0.0.1:9/fleet/.git").head()
    assert caught.value.problem.code == "git-unreachable"


async def test_a_missing_branch_of_the_host_is_explained(source) -> None:
    with pytest.raises(EnvironmentFault, match="has no branch production"):
        await source(branch="production").head()


async def test_an_empty_repository_of_the_host_is_explained(repository, git_http, source) -> None:
    repository.git("init", "--quiet", str(repository.path.parent / "empty"))
    with pytest.raises(EnvironmentFault, match="has no commit yet"):
        await source(url=git_http.url.replace("fleet", "empty")).head()


async def test_a_commit_that_the_host_does_not_have_is_an_error_and_no_empty_fleet(source) -> None:
    remote = source()
    await remote.head()
    with pytest.raises(CatwalkError) as caught:
        await remote.files(Revision(commit="1" * 40, branch="main", source="x"))
    assert caught.value.problem.code in {"revision-gone", "git-failed"}


async def test_the_revision_of_another_kind_of_source_is_gone(source) -> None:
    remote = source()
    with pytest.raises(SourceError):
        await remote.files(Revision(commit="worktree:abc", branch="worktree", source="x"))


async def test_a_hanging_fetch_does_not_pile_up_threads(git_http, source) -> None:
    git_http.fault = "trickle"
    remote = source(limits=TransportLimits(connect_s=1.0, read_s=1.0, total_s=0.3))
    before = threading.active_count()
    with anyio.fail_after(30):
        for _ in range(3):
            with pytest.raises(Unavailable):
                await remote.head()
    assert threading.active_count() - before <= 5
    git_http.released.set()


async def test_a_repository_on_this_machine_is_fetched_whole(repository, source) -> None:
    remote = source(url=f"file://{repository.path}")
    assert list(await remote.files(await remote.head())) == ["catwalk.yaml"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        pytest.param(f"https://ann:{TOKEN}@example.com/x", "credentials-in-url", id="password"),
        pytest.param(f"https://{TOKEN}@example.com/x", "credentials-in-url", id="token as user"),
        pytest.param("ftp://example.com/x", "bad-repository-url", id="scheme"),
        pytest.param("example.com/x", "bad-repository-url", id="no scheme"),
        pytest.param("https:///x", "bad-repository-url", id="no host"),
        pytest.param("http://[::1", "bad-repository-url", id="broken"),
        pytest.param("ssh://git@example.com/x", "git-credentials", id="ssh without a key"),
    ],
)
def test_an_address_that_cannot_work_is_refused_without_repeating_it(source, url, code) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        source(url=url)
    assert caught.value.problem.code == code
    assert TOKEN not in str(caught.value)


def test_a_token_never_travels_unencrypted(source) -> None:
    with pytest.raises(EnvironmentFault, match="unencrypted"):
        source(url="http://example.com/x", credentials=with_token())


@pytest.mark.parametrize(
    ("url", "scheme", "host", "username"),
    [
        ("https://Example.com/acme/fleet.git", "https", "example.com", ""),
        ("git@github.com:acme/fleet.git", "ssh", "github.com", "git"),
        ("ssh://git@Example.com:2222/acme/fleet", "ssh", "example.com", "git"),
    ],
)
def test_an_address_comes_apart(url, scheme, host, username) -> None:
    address = parse_address(url)
    assert (address.scheme, address.host, address.username) == (scheme, host, username)


def test_a_source_never_shows_its_credentials(source) -> None:
    assert TOKEN not in repr(source(credentials=with_token()))


def test_the_shipped_host_keys_are_those_that_github_publishes() -> None:
    lines = [line.split() for line in SHIPPED_KNOWN_HOSTS.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    prints = {kind: base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode() for _, kind, key in lines}
    assert {host for host, _, _ in lines} == {"github.com"}
    assert prints == {
        "ssh-ed25519": "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU=",
        "ecdsa-sha2-nistp256": "p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM=",
        "ssh-rsa": "uNiVztksCsDhcc0u9e8BujQXVUpKZIDTMczCvj3tD2s=",
    }


@pytest.fixture
def ssh_source(git_ssh, tmp_path):
    def make(known: str) -> RemoteSource:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(known, encoding="utf-8")
        return RemoteSource(
            url=git_ssh.url(getpass.getuser()),
            state_dir=tmp_path / "state",
            credentials=SshKey(private_key=SecretValue(git_ssh.private_key)),
            known_hosts=known_hosts,
            limits=TransportLimits(connect_s=5.0, read_s=5.0, total_s=20.0),
        )

    return make


async def test_a_key_opens_a_repository_on_a_host_whose_key_is_known(git_ssh, ssh_source) -> None:
    remote = ssh_source(git_ssh.known_hosts_line())
    assert list(await remote.files(await remote.head())) == ["catwalk.yaml"]


async def test_a_host_whose_key_is_unknown_is_not_believed(ssh_source) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        await ssh_source("").head()
    assert caught.value.problem.code == "git-host-untrusted"


async def test_a_host_with_another_key_is_not_believed(git_ssh, ssh_source) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    with pytest.raises(EnvironmentFault) as caught:
        await ssh_source(git_ssh.known_hosts_line(other)).head()
    assert caught.value.problem.code == "git-host-untrusted"


async def test_a_key_that_the_host_does_not_accept_is_explained(git_ssh, ssh_source) -> None:
    git_ssh.private_key = git_ssh.stranger
    with pytest.raises(EnvironmentFault) as caught:
        await ssh_source(git_ssh.known_hosts_line()).head()
    assert caught.value.problem.code == "git-credentials"

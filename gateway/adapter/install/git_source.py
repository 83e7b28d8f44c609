"""Fetch one commit of one repository with git: bounded in time and size, and nothing of it executed.

The commit is asked for by its id, which most hosts give out; where one does not, its branches and tags are fetched and
the commit is looked for in them. git checks every object against its hash, so what arrives is what was pinned. Hooks,
filters, submodules and the configuration of whoever runs this are left out; the server's own home is where git and ssh
look for keys.
"""

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import anyio

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext, failure_of
from gateway.adapter.install.process import Finished
from gateway.adapter.projects import GitProject

LARGEST_PACK_BLOCKS = 1024 * 1024
"""Of 512 bytes, as `ulimit -f` counts: 512 MiB."""
LARGEST_TREE_BYTES = 512 * 1024 * 1024
MOST_FILES = 100_000
_SETTINGS = (
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=true",
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "fetch.fsckObjects=true",
    "gc.auto=0",
    "advice.detachedHead=false",
)
_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_LIMITED = 'ulimit -f "$1" && shift && exec env "$@"'


class Checkout:
    """One repository in a folder of its own, on its way to one commit."""

    def __init__(self, context: InstallContext, folder: Path, home: Path) -> None:
        self._context = context
        self._folder = folder
        self._home = home
        self._plain_http = "never"

    async def bring(self, project: GitProject) -> str:
        """The files of the commit into the folder; returns the date of the commit. Raises AdapterFailure."""
        self._plain_http = "always" if project.url.startswith("http://") else "never"
        await self._must(["init", "--quiet", "--template=", "."], f"{project} cannot be fetched")
        await self._fetch(project)
        date = (await self._ask(["show", "--no-patch", "--format=%cI", project.commit])).output.strip()
        await self._refuse_vast(project)
        await self._must(["checkout", "--quiet", "--detach", project.commit], f"{project} cannot be checked out")
        await anyio.to_thread.run_sync(shutil.rmtree, self._folder / ".git")
        return date

    async def _fetch(self, project: GitProject) -> None:
        depth = ["--depth=1", "--no-tags", "--no-recurse-submodules"]
        asked = await self._git(["fetch", *depth, "--", project.url, project.commit])
        if asked.status != 0 and _refuses_by_id(asked):
            whole = ["--no-recurse-submodules", "--", project.url, "+refs/heads/*:refs/h/*", "+refs/tags/*:refs/t/*"]
            asked = await self._git(["fetch", "--no-tags", *whole])
        if asked.status != 0:
            raise _failed(asked, project)
        if (await self._ask(["cat-file", "-e", f"{project.commit}^{{commit}}"])).status != 0:
            text = f"{project.url} has no commit {project.commit} in a branch or tag"
            raise AdapterFailure(Cause.VERSION_NOT_FOUND, text)

    async def _refuse_vast(self, project: GitProject) -> None:
        listed = await self._ask(["ls-tree", "-r", "-l", "--full-tree", project.commit])
        sizes = [line.split("\t")[0].split()[-1] for line in listed.output.splitlines()]
        size_bytes = sum(int(size) for size in sizes if size.isdigit())
        if len(sizes) > MOST_FILES or size_bytes > LARGEST_TREE_BYTES:
            text = f"{project} holds {len(sizes)} files of {size_bytes} bytes; at most {MOST_FILES} files of "
            raise AdapterFailure(Cause.INSTALL_FAILED, f"{text}{LARGEST_TREE_BYTES} bytes are checked out")

    async def _must(self, arguments: Sequence[str], what: str) -> None:
        finished = await self._git(arguments)
        if finished.status != 0:
            raise failure_of(finished, what)

    async def _git(self, arguments: Sequence[str]) -> Finished:
        return await self._context.install(self._command(arguments))

    async def _ask(self, arguments: Sequence[str]) -> Finished:
        return await self._context.query(self._command(arguments))

    def _command(self, arguments: Sequence[str]) -> list[str]:
        git = shutil.which("git")
        if git is None:
            raise AdapterFailure(Cause.RUNTIME_UNAVAILABLE, "git is not installed in this machine")
        settings = [word for setting in self._settings() for word in ("-c", setting)]
        limited = ["/bin/sh", "-c", _LIMITED, "sh", str(LARGEST_PACK_BLOCKS), *self._environment()]
        return [*limited, git, *settings, "-C", str(self._folder), *arguments]

    def _settings(self) -> tuple[str, ...]:
        return (*_SETTINGS, f"protocol.http.allow={self._plain_http}")

    def _environment(self) -> list[str]:
        """No configuration but ours, no questions, and keys from the server's home alone."""
        certificates = os.environ.get("SSL_CERT_FILE")
        return [
            f"HOME={self._home}",
            f"XDG_CONFIG_HOME={self._home}/.config",
            "GIT_CONFIG_NOSYSTEM=1",
            "GIT_CONFIG_GLOBAL=/dev/null",
            "GIT_ATTR_NOSYSTEM=1",
            "GIT_TERMINAL_PROMPT=0",
            "GIT_LFS_SKIP_SMUDGE=1",
            f"GIT_SSH_COMMAND={_ssh(self._home)}",
            *([f"GIT_SSL_CAINFO={certificates}"] if certificates else []),
        ]


def _ssh(home: Path) -> str:
    """Ssh finds its home in the user database and not in HOME, so its files are named. An unknown host is trusted at
    first sight: what is fetched is checked by its hash, and a key is never sent.
    """
    folder = home / ".ssh"
    keys = [f"-o IdentityFile='{folder / name}'" for name in _KEYS if (folder / name).is_file()]
    known = f"-o UserKnownHostsFile='{folder / 'known_hosts'}' -o StrictHostKeyChecking=accept-new"
    return " ".join(["ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=15 -o IdentitiesOnly=yes", known, *keys])


def _refuses_by_id(finished: Finished) -> bool:
    return "unadvertised object" in finished.text or "couldn't find remote ref" in finished.text


def _failed(finished: Finished, project: GitProject) -> AdapterFailure:
    text = finished.text
    if "not our ref" in text or "couldn't find remote ref" in text:
        return AdapterFailure(Cause.VERSION_NOT_FOUND, f"{project.url} has no commit {project.commit}")
    if f"died of signal {signal.SIGXFSZ.value}" in text or "File size limit exceeded" in text:
        return AdapterFailure(Cause.INSTALL_FAILED, f"{project} is larger than {LARGEST_PACK_BLOCKS // 2048} MiB")
    denied = ("Permission denied", "could not read Username", "Authentication failed", "not found", "does not exist")
    if any(word in text for word in denied):
        hint = "it does not exist, or needs a key: give the server a file such as ~/.netrc or ~/.ssh/id_ed25519"
        return AdapterFailure(Cause.PACKAGE_NOT_FOUND, f"{project.url} cannot be read: {hint}")
    return failure_of(finished, f"{project} cannot be fetched", Cause.REGISTRY_UNAVAILABLE)

"""Addresses of commits and pull requests at the git host, for people who want to see the change itself. Pure.

GitHub, GitHub Enterprise, GitLab, Gitea and Forgejo all know `/OWNER/NAME/commit/SHA` (GitLab redirects it); Bitbucket
says `commits`. Nothing is made of a repository that is a path, or of an address that is not plainly one.
"""

import re
from typing import Final
from urllib.parse import quote, urlsplit

_SCP: Final = re.compile(r"(?:[A-Za-z0-9._-]+@)?([A-Za-z0-9.-]+\.[A-Za-z0-9-]+):(?!/)([A-Za-z0-9._~/-]+)")
"""`git@github.com:acme/fleet.git`, as ssh and git read it."""
_PATH: Final = re.compile(r"/[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)+")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def commit_url(source: str, commit: str) -> str:
    """The page of a commit; empty where there is none."""
    home = _home(source)
    if not home or not _COMMIT.fullmatch(commit):
        return ""
    word = "commits" if urlsplit(home).hostname == "bitbucket.org" else "commit"
    return f"{home}/{word}/{commit}"


def pull_url(source: str, number: int) -> str:
    """The page of a pull request of GitHub, which alone tells us of pull requests; empty where there is none."""
    home = _home(source)
    return f"{home}/pull/{number}" if home else ""


def _home(source: str) -> str:
    """`https://host/owner/name` of a repository."""
    if scp := _SCP.fullmatch(source):
        return _address(scp.group(1), f"/{scp.group(2)}")
    try:
        parts = urlsplit(source)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme not in {"https", "ssh"} or (parts.scheme == "https" and parts.username):
        return ""
    return _address(f"{host}:{port}" if port and parts.scheme == "https" else host, parts.path)


def _address(host: str, path: str) -> str:
    plain = path.removesuffix("/").removesuffix(".git")
    return f"https://{quote(host, safe='.:-')}{plain}" if "." in host and _PATH.fullmatch(plain) else ""

"""Which GitHub repository a git URL names.

Only the shapes that GitHub itself hands out are read: https, ssh and the scp form. A credential in the URL is accepted
by git and therefore ignored here; it never reaches a value or an error.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from reconciler.errors import EnvironmentFault

GITHUB_HOST: Final = "github.com"
_ALIASES: Final = {"www.github.com": GITHUB_HOST, "ssh.github.com": GITHUB_HOST}
"""`ssh.github.com` is GitHub's way through firewalls that block port 22 (docs, "Using SSH over the HTTPS port")."""
_SCP: Final = re.compile(r"(?:[^@/:\s]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>[^\s]+)")
_OWNER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})(?:_[A-Za-z0-9]{1,20})?")
"""A login, or on Enterprise with managed users one with a short code behind an underscore."""
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository on GitHub or GitHub Enterprise."""

    host: str
    owner: str
    name: str

    @property
    def full_name(self) -> str:
        """`owner/name`, as the REST API has it in its paths."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        return f"{self.host}/{self.full_name}"


def parse_repository(url: str) -> Repository:
    """The repository that `url` names.

    Raises:
        EnvironmentFault: the URL is none of a GitHub repository, for example a local path.
    """
    host, path = _split(url.strip())
    owner, _, name = path.strip("/").partition("/")
    name = name.removesuffix(".git")
    if not host or not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name) or name in {".", ".."}:
        raise EnvironmentFault(
            "no-github-repository",
            "the repository URL does not name a GitHub repository",
            hint="use https://github.com/OWNER/NAME or git@github.com:OWNER/NAME.git",
        )
    return Repository(host=_ALIASES.get(host, host), owner=owner, name=name)


def _split(url: str) -> tuple[str, str]:
    """Host and path; two empty texts for what has no host."""
    if "://" not in url:
        scp = _SCP.fullmatch(url)
        return (scp["host"].lower(), scp["path"]) if scp else ("", "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return (parts.hostname or "", parts.path) if parts.scheme in {"https", "ssh", "git+ssh"} else ("", "")


def api_url(repository: Repository) -> str:
    """Where the REST API of a repository's host is, unless `GITHUB_API_URL` says otherwise.

    GitHub docs, "Getting started with the REST API": `api.github.com`; `api.SUBDOMAIN.ghe.com` for data residency;
    `HOST/api/v3` for Enterprise Server.
    """
    if repository.host == GITHUB_HOST or repository.host.endswith(".ghe.com"):
        return f"https://api.{repository.host}"
    return f"https://{repository.host}/api/v3"

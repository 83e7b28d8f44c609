"""What libgit2 says, in the words of the control plane.

libgit2 reports most failures as text. The table maps those texts to who can do something about them; a text that it
does not know counts as "not now", because a fault that is wrongly called final would stop a fleet for good.
"""

import re
from dataclasses import dataclass
from typing import Final

import pygit2

from reconciler.errors import CatwalkError, EnvironmentFault, Unavailable

LONGEST_DETAIL: Final = 200
"""Characters of libgit2's own text that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    pattern: str
    kind: type[CatwalkError]
    code: str
    message: str
    hint: str = ""


_REMOTE_RULES: Final = (
    _Rule(
        pattern=r"certificate|hostkey|host key|SSL error: 0x",
        kind=EnvironmentFault,
        code="git-host-untrusted",
        message="the host of {source} does not prove who it is",
        hint="for https add the certificate authority to SSL_CERT_FILE; for ssh add the host's key to known_hosts",
    ),
    _Rule(
        pattern=r"status code: 40[13]|authenticat|credentials callback|no callback|keypair|public key",
        kind=EnvironmentFault,
        code="git-credentials",
        message="{source} refuses the credentials, or wants some",
        hint="check that the token or key is valid and may read the repository",
    ),
    _Rule(
        pattern=r"status code: 404|repository not found|does not appear to be a git repository|path not found",
        kind=EnvironmentFault,
        code="repository-not-found",
        message="there is no repository at {source}, or the credentials may not see it",
        hint="check the address; private repositories also need a token or key that may read them",
    ),
    _Rule(
        pattern=r"timed out|timeout",
        kind=Unavailable,
        code="git-timeout",
        message="{source} did not answer in time",
        hint="the next pass tries again",
    ),
    _Rule(
        pattern=r"failed to (?:connect|resolve)|(?:refused|reset)|unexpected EOF|early EOF|status code: 5",
        kind=Unavailable,
        code="git-unreachable",
        message="{source} cannot be reached",
        hint="the next pass tries again; check the address and the network if it stays so",
    ),
    _Rule(
        pattern=r"not our ref|unadvertised object|no such object",
        kind=Unavailable,
        code="revision-gone",
        message="{source} no longer gives out the wanted commit",
        hint="the branch was rewritten: push a new commit",
    ),
    _Rule(
        pattern=r"unsupported URL protocol|malformed URL|invalid url",
        kind=EnvironmentFault,
        code="bad-repository-url",
        message="{source} is no address of a repository",
        hint="use https://HOST/OWNER/NAME or ssh://git@HOST/OWNER/NAME",
    ),
)

_LOCAL_RULES: Final = (
    _Rule(
        pattern=r"not owned by current user",
        kind=EnvironmentFault,
        code="repository-not-owned",
        message="the repository at {source} belongs to another user of this machine",
        hint="run Catwalk as that user, or clone the repository as the user that runs Catwalk",
    ),
    _Rule(
        pattern=r"unsupported extension|unknown object format|unsupported repository version",
        kind=EnvironmentFault,
        code="repository-format",
        message="the repository at {source} uses a storage format that libgit2 cannot read",
        hint="clone it again with the default formats (sha1, files), or follow its remote",
    ),
)


def remote_fault(error: Exception, source: str) -> CatwalkError:
    """The error of a fetch in our words. `source` is the address without credentials."""
    if isinstance(error, CatwalkError):
        return error
    return _translated(error, source, _REMOTE_RULES) or Unavailable(
        "git-failed", f"{source} cannot be fetched: {_detail(error)}", hint="the next pass tries again"
    )


def local_fault(error: pygit2.GitError, source: str) -> CatwalkError:
    """The error of opening or reading a repository on this machine in our words."""
    return _translated(error, source, _LOCAL_RULES) or EnvironmentFault(
        "repository-unreadable",
        f"the repository at {source} cannot be read: {_detail(error)}",
        hint="`git fsck` tells whether it is damaged",
    )


def _translated(error: Exception, source: str, rules: tuple[_Rule, ...]) -> CatwalkError | None:
    text = f"certificate {error}" if isinstance(error, pygit2.CertificateError) else str(error)
    for rule in rules:
        if re.search(rule.pattern, text, re.IGNORECASE):
            return rule.kind(rule.code, rule.message.format(source=source), hint=rule.hint)
    return None


def _detail(error: Exception) -> str:
    return " ".join(str(error).split())[:LONGEST_DETAIL]

"""How Catwalk talks to a git host: limits, credentials and identity, all of which libgit2 leaves open.

Its defaults wait for ever, accept every ssh host key, hand credentials to whatever host a redirect names, and ask for a
refused password fifteen times. The callbacks and settings here close each of these. Two settings (timeouts, the home
directory that `known_hosts` is found in) belong to the process in libgit2, so one process uses one value of each.
"""

import ipaddress
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

import pygit2
from pygit2.enums import CredentialType
from pygit2.remotes import TransferProgress

from reconciler.core.secret import SecretValue
from reconciler.errors import CatwalkError, EnvironmentFault, Unavailable

_SCP_FORM: Final = re.compile(r"^(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>(?!/{2}).+)$")
"""`git@github.com:acme/fleet`, the form that hosts show for ssh."""

SHIPPED_KNOWN_HOSTS: Final = Path(__file__).with_name("github_known_hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """How long a git host may take, in seconds, and how long a mirror lives."""

    connect_s: float = 10.0
    read_s: float = 15.0
    """For each single read: a host that sends a byte now and then stays below it, hence the total."""
    total_s: float = 120.0
    """For one operation from connecting to the last byte."""
    fetches_per_mirror: int = 50
    """libgit2 never packs what it fetched, so that a mirror grows slower with every fetch; then it starts afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsToken:
    """A token for https. GitHub takes any user name with it; `x-access-token` is what its Apps document."""

    token: SecretValue
    username: str = "x-access-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKey:
    """A private key in OpenSSH or PEM form, held in memory."""

    private_key: SecretValue
    passphrase: SecretValue | None = None


Credentials = HttpsToken | SshKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a repository is, taken apart. Never holds a password."""

    url: str
    scheme: str
    host: str
    username: str


def parse_address(url: str) -> Address:
    """Takes a repository address apart.

    Raises:
        EnvironmentFault: it is none, holds a password, or would send credentials in the clear.
    """
    if match := _SCP_FORM.match(url):
        return Address(url=url, scheme="ssh", host=match["host"].lower(), username=match["user"])
    try:
        parts = urlsplit(url)
        host, username, password = parts.hostname or "", parts.username or "", parts.password
    except ValueError as error:
        raise _bad_address("is no address of a repository") from error
    if password is not None or (username and parts.scheme != "ssh"):
        raise EnvironmentFault(
            "credentials-in-url",
            f"the repository address on {host} holds credentials, which end up in logs",
            hint="take them out of the address and set them on their own, for example as GITHUB_TOKEN",
        )
    if parts.scheme not in {"https", "http", "ssh", "file"} or (not host and parts.scheme != "file"):
        raise _bad_address("is no https, ssh or file address")
    return Address(url=url, scheme=parts.scheme, host=host, username=username)


def _bad_address(fault: str) -> EnvironmentFault:
    return EnvironmentFault(
        "bad-repository-url",
        f"the repository address {fault}",
        hint="use https://HOST/OWNER/NAME or ssh://git@HOST/OWNER/NAME",
    )


def refuse_unfit(address: Address, credentials: Credentials | None) -> None:
    """Refuses credentials that do not belong to the kind of address, or that would travel unencrypted.

    Raises:
        EnvironmentFault: they do not fit.
    """
    if address.scheme == "ssh" and not isinstance(credentials, SshKey):
        raise EnvironmentFault("git-credentials", f"ssh to {address.host} needs a private key", hint="set a deploy key")
    if address.scheme == "http" and credentials is not None and not _is_loopback(address.host):
        raise EnvironmentFault(
            "insecure-repository-url",
            f"a token would travel to {address.host} unencrypted",
            hint="use https",
        )
    if address.scheme in {"http", "https"} and isinstance(credentials, SshKey):
        raise EnvironmentFault("git-credentials", "an ssh key does not open an https address", hint="set a token")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def apply_process_settings(limits: TransportLimits, home: Path, known_hosts: Path) -> None:
    """Sets what libgit2 keeps per process, and writes the `known_hosts` that it will look at below `home`."""
    pygit2.settings.server_connect_timeout = int(limits.connect_s * 1000)
    pygit2.settings.server_timeout = int(limits.read_s * 1000)
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = known_hosts.read_text(encoding="utf-8") if known_hosts.is_file() else ""
    shipped = SHIPPED_KNOWN_HOSTS.read_text(encoding="utf-8")
    (folder / "known_hosts").write_text(f"{shipped}\n{known}", encoding="utf-8")
    pygit2.settings.homedir = str(home)


class Deadline:
    """The end of one operation, asked from every callback that libgit2 makes."""

    def __init__(self, total_s: float) -> None:
        self._end = time.monotonic() + total_s

    def check(self) -> None:
        """Raises:
        Unavailable: the time is over.
        """
        if time.monotonic() > self._end:
            raise Unavailable("git-timeout", "the git host took too long", hint="the next pass tries again")


class GuardedCallbacks(pygit2.RemoteCallbacks):
    """Lends credentials once, to the expected host alone, and believes no host that cannot prove its identity."""

    def __init__(self, address: Address, lent: Credentials | None, deadline: Deadline) -> None:
        super().__init__()
        self._address = address
        self._lent = lent
        self._deadline = deadline
        self._given = False

    def credentials(  # pyright: ignore[reportIncompatibleMethodOverride]  # pygit2 declares a union of its own.
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.UserPass | pygit2.Username | pygit2.KeypairFromMemory:
        """Called by libgit2 whenever a host asks, also after a redirect and after a refusal."""
        self._deadline.check()
        username = username_from_url or self._address.username or "git"
        self._refuse_other_host(url)
        if allowed_types & CredentialType.USERNAME and not allowed_types & CredentialType.SSH_MEMORY:
            return pygit2.Username(username)
        if self._lent is None or self._given:
            self._refuse()
        self._given = True
        if isinstance(self._lent, HttpsToken):
            return pygit2.UserPass(self._lent.username, self._lent.token.reveal())
        passphrase = self._lent.passphrase.reveal() if self._lent.passphrase else ""
        return pygit2.KeypairFromMemory(username, None, self._lent.private_key.reveal(), passphrase)

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
        """libgit2 would go on without asking for ssh; `valid` is what TLS or known_hosts say."""
        del certificate, host
        self._deadline.check()
        return valid

    def transfer_progress(self, stats: TransferProgress) -> None:
        del stats
        self._deadline.check()

    def sideband_progress(self, string: str) -> None:
        del string
        self._deadline.check()

    def _refuse_other_host(self, url: str) -> None:
        scp = _SCP_FORM.match(url)
        host = scp["host"].lower() if scp else urlsplit(url).hostname or ""
        if host != self._address.host:
            raise EnvironmentFault(
                "git-redirected",
                f"{self._address.host} redirects to {host}, which gets no credentials",
                hint="follow the repository at its new address",
            )

    def _refuse(self) -> NoReturn:
        said = "refuses the credentials" if self._given else "wants credentials"
        fault: CatwalkError = EnvironmentFault(
            "git-credentials",
            f"{self._address.host} {said}",
            hint="check that a token or key is set, is valid and may read the repository",
        )
        raise fault

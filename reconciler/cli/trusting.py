"""Builds what judges commits by their signatures."""

from pathlib import Path
from typing import Final

from reconciler.core.signatures import SignatureWay, Ways
from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.loop.ports import HostVerifier, SignatureVerifier, SignedSource, Source, TextShelf
from reconciler.loop.trust import CommitTrust, Trust, TrustsAll, TrustSettings, Verifiers
from reconciler.settings import Settings
from reconciler.sources.signatures import GnuPGSignatures, SSHSignatures

LARGEST_FILE_BYTES: Final = 1024 * 1024
OFF: Final = "off"


def commit_trust(source: Source, shelf: TextShelf, settings: Settings, host: HostVerifier | None) -> Trust:
    """A judge of the commits of a source; one that asks for nothing where the source has none.

    Raises:
        EnvironmentFault: a setting is wrong, or a file that it names cannot be read.
    """
    told = trust_settings(settings)
    if not isinstance(source, SignedSource):
        if told.ways:
            raise EnvironmentFault(
                "signatures-unchecked",
                "CATWALK_SIGNED_COMMITS wants signatures, and uncommitted files carry none",
                hint="follow commits, without --worktree",
            )
        return TrustsAll()
    keys: dict[SignatureWay, SignatureVerifier] = {
        SignatureWay.SSH: SSHSignatures(),
        SignatureWay.GPG: GnuPGSignatures(),
    }
    return CommitTrust(source, shelf, Verifiers(keys=keys, host=host), SystemClock(), told)


def trust_settings(settings: Settings) -> TrustSettings:
    """What the environment says about signatures.

    Raises:
        EnvironmentFault: a setting is wrong, or a file that it names cannot be read.
    """
    return TrustSettings(
        ways=_ways(settings.signed_commits),
        allowed_signers=_content("CATWALK_ALLOWED_SIGNERS", settings.allowed_signers),
        allowed_keys=_content("CATWALK_GPG_KEYS", settings.gpg_keys),
    )


def _ways(stated: str) -> Ways:
    if stated in {"", OFF}:
        return ()
    try:
        return (SignatureWay(stated),)
    except ValueError as error:
        known = ", ".join((OFF, *SignatureWay))
        raise EnvironmentFault("bad-setting", f"CATWALK_SIGNED_COMMITS is one of {known}") from error


def _content(variable: str, path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open(encoding="utf-8") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault("signers-unreadable", f"{variable}: {path} cannot be read") from error
    if len(content) > LARGEST_FILE_BYTES or not content.strip():
        raise EnvironmentFault("signers-unreadable", f"{variable}: {path} is empty or larger than 1 MiB")
    return content

"""The list of SSH keys that may sign (ssh-keygen(1), "ALLOWED SIGNERS").

Each line: principals, options, key. What is not understood refuses the whole list, because a restriction that is
overlooked would trust more than its author meant. Times without `Z` are read as UTC: a list must mean the same on
every machine.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final

from reconciler.errors import SourceError

LARGEST_BYTES: Final = 256 * 1024
MOST_SIGNERS: Final = 2000
_KEY: Final = re.compile(r"(?P<kind>[a-z0-9@.-]+)\s+(?P<blob>[A-Za-z0-9+/=]+)(?:\s.*)?")
_KINDS: Final = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")
_OPTION: Final = re.compile(r'(?P<name>[a-z-]+)(?:="(?P<value>(?:[^"\\]|\\.)*)")?')
_TIMES: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedSigner:
    """One line of the list."""

    principals: tuple[str, ...]
    """Who it is, as patterns; shown, and not compared with the author of a commit, as git does not either."""
    key: bytes
    """The public key in SSH's wire form."""
    namespaces: tuple[str, ...] = ()
    """Patterns of what it may sign; empty allows everything."""
    valid_after: datetime | None = None
    valid_before: datetime | None = None
    authority: bool = False
    """Whether it signs certificates, which are not read, and nothing else."""
    line: int = field(default=0)

    def may_sign(self, namespace: str, at: datetime) -> bool:
        """Whether it may sign for this purpose at that time."""
        if self.authority or not (self.valid_after or at) <= at or (self.valid_before and at >= self.valid_before):
            return False
        return not self.namespaces or any(fnmatchcase(namespace, pattern) for pattern in self.namespaces)


def read_allowed_signers(text: str, *, name: str) -> tuple[AllowedSigner, ...]:
    """The signers of a list; `name` is what errors call it.

    Raises:
        SourceError: a line is not understood, or there are too many.
    """
    if len(text.encode("utf-8")) > LARGEST_BYTES:
        raise _bad(name, 1, "the list is larger than 256 KiB")
    signers = tuple(_signers(text, name))
    if len(signers) > MOST_SIGNERS:
        raise _bad(name, 1, f"the list has more than {MOST_SIGNERS} keys")
    return signers


def _signers(text: str, name: str) -> Iterator[AllowedSigner]:
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield _signer(stripped, name, number)


def _signer(line: str, name: str, number: int) -> AllowedSigner:
    principals, rest = _first_word(line)
    options: dict[str, str] = {}
    if not rest.startswith(_KINDS):
        words, rest = _options(rest, name, number)
        options = words
    key = _KEY.fullmatch(rest)
    if key is None:
        raise _bad(name, number, "there is no key where one should be")
    return AllowedSigner(
        principals=tuple(principals.split(",")),
        key=_blob(key, name, number),
        namespaces=tuple(options["namespaces"].split(",")) if "namespaces" in options else (),
        valid_after=_time(options.get("valid-after"), name, number),
        valid_before=_time(options.get("valid-before"), name, number),
        authority="cert-authority" in options,
        line=number,
    )


def _first_word(line: str) -> tuple[str, str]:
    """The principals, which may stand in quotes, and what follows them."""
    if line.startswith('"'):
        word, _, rest = line[1:].partition('"')
        return word, rest.strip()
    word, _, rest = line.partition(" ") if " " in line else line.partition("\t")
    return word, rest.strip()


def _options(text: str, name: str, number: int) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    place = 0
    while match := _OPTION.match(text, place):
        found[match["name"]] = match["value"] or ""
        place = match.end()
        if not text.startswith(",", place):
            break
        place += 1
    if unknown := found.keys() - {"cert-authority", "namespaces", "valid-after", "valid-before"}:
        raise _bad(name, number, f"the option {min(unknown)} is not known")
    if not text[place : place + 1].isspace():
        raise _bad(name, number, "its options are not understood")
    return found, text[place:].strip()


def _blob(key: re.Match[str], name: str, number: int) -> bytes:
    try:
        blob = base64.b64decode(key["blob"], validate=True)
    except binascii.Error as error:
        raise _bad(name, number, "its key is no Base64") from error
    kind = key["kind"].encode("ascii")
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind):
        raise _bad(name, number, "its key is of another kind than it says")
    return blob


def _time(value: str | None, name: str, number: int) -> datetime | None:
    if value is None:
        return None
    digits = value.removesuffix("Z")
    shape = _TIMES.get(len(digits))
    try:
        if shape is not None and digits.isascii() and digits.isdigit():
            return datetime.strptime(digits, shape).replace(tzinfo=UTC)
    except ValueError as error:
        raise _bad(name, number, f"{value!r} is no time") from error
    raise _bad(name, number, f"{value!r} is no time")


def _bad(name: str, number: int, what: str) -> SourceError:
    return SourceError(
        "allowed-signers-unreadable",
        f"{name}, line {number}: {what}",
        hint="write it as ssh-keygen(1) describes under ALLOWED SIGNERS: principals, options, key",
    )

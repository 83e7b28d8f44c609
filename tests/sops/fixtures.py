"""The files of `tests/data/sops`, which `make_fixtures` made, with what they hold and who opens them."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities, load_identities

FOLDER = Path(__file__).resolve().parents[1] / "data" / "sops"
PGP = "pgp"


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """One file."""

    name: str
    format: Format
    opened_by: tuple[tuple[str, ...], ...]
    refused_for: tuple[tuple[str, ...], ...]
    leaves: tuple[tuple[int, tuple[str | int, ...], str, bytes], ...]
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def content(self) -> bytes:
        return (FOLDER / self.name).read_bytes()

    @property
    def needs_gpg(self) -> bool:
        return all(PGP in names for names in self.opened_by)

    def identities(self, names: tuple[str, ...], services: tuple = ()) -> Identities:
        """The keys of these names; the one of PGP is in the ring of `services`."""
        texts = [self.secrets[name] for name in names if name != PGP]
        keys = load_identities({"SOPS_AGE_KEY": "\n".join(texts)}).keys
        return Identities(keys=keys, services=services if PGP in names else ())

    def age_identities(self) -> Identities:
        """The first keys that need no gpg."""
        return self.identities(next(names for names in self.opened_by if PGP not in names))


@cache
def fixtures() -> Mapping[str, Fixture]:
    index = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    return {entry["file"]: _fixture(entry, index["keys"]) for entry in index["files"]}


def pgp_key() -> str:
    return json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["keys"][PGP]


def _fixture(entry: dict, secrets: Mapping[str, str]) -> Fixture:
    return Fixture(
        name=entry["file"],
        format=Format(entry["format"]),
        opened_by=tuple(map(tuple, entry["opened_by"])),
        refused_for=tuple(map(tuple, entry["refused_for"])),
        leaves=tuple(_leaves(entry)),
        secrets=secrets,
    )


def _leaves(entry: dict) -> Iterator[tuple[int, tuple[str | int, ...], str, bytes]]:
    for leaf in entry["leaves"]:
        yield leaf["document"], tuple(leaf["path"]), leaf["type"], base64.b64decode(leaf["bytes"])

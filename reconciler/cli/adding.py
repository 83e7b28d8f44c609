"""Puts a server into a manifest: from a draft and the answers to the new text of files, then to the disk.

Nothing is written before the manifests were read with the new entry in them. Secrets that were answered go into files
of their own, encrypted to those whom `.sops.yaml` names; those that were not are declared, so that every command says
what is missing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from reconciler.cli.asking import Answers
from reconciler.cli.secrets_fleet import FleetFiles
from reconciler.core.problems import Location
from reconciler.core.secret import SecretValue
from reconciler.errors import SourceError
from reconciler.loop.clock import SystemClock
from reconciler.sops.files import is_encrypted
from reconciler.sops.writing.creation_rules import find_rule
from reconciler.sops.writing.disk import replace_file
from reconciler.sops.writing.inspection import inspect
from reconciler.sops.writing.secret_files import new_secret_file
from reconciler.sources.layout import is_manifest, secret_file
from reconciler.sources.manifest_text import Entry, EntryValue, with_server
from reconciler.sources.manifests import read_manifests
from reconciler.sources.mcp_registry.drafts import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What is to be written, and what a person is told about it."""

    server: str
    manifest: str
    entry: Entry
    contents: Mapping[str, bytes] = field(repr=False)
    """By path relative to the directory."""
    encrypted: tuple[str, ...]
    """Names of the secrets that were answered."""
    open_secrets: tuple[str, ...]
    """Names of those that are declared without a value."""

    def record(self) -> dict[str, object]:
        """The shape of `--json`."""
        return {
            "server": self.server,
            "manifest": self.manifest,
            "entry": self.entry,
            "files": sorted(self.contents),
            "encrypted": list(self.encrypted),
            "open_secrets": list(self.open_secrets),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where the entry goes."""

    fleet: FleetFiles
    manifest: str
    server: str


def destination(fleet: FleetFiles, manifest: str, server: str) -> Destination:
    """The manifest that takes the entry: the one that was named, else the only one, else the topmost.

    Raises:
        SourceError: there is none, or the one that was named is none.
    """
    found = sorted((path for path in fleet.files if is_manifest(path)), key=lambda path: (path.count("/"), path))
    if not found:
        raise SourceError(
            "no-manifest", f"there is no catwalk.yaml in {fleet.directory}", hint="make one: catwalk init"
        )
    if manifest and manifest not in found:
        raise SourceError(
            "no-manifest", f"{manifest} is no manifest of this fleet", hint=f"there are {', '.join(found)}"
        )
    return Destination(fleet=fleet, manifest=manifest or found[0], server=server)


def added(draft: Draft, answers: Answers, target: Destination) -> Added:
    """The new contents of the manifest and of secret files.

    Raises:
        SourceError: the entry cannot be written there, or the manifests would be invalid with it.
    """
    entry, secrets = _entry(draft, answers)
    before = target.fleet.files[target.manifest]
    _refuse_sealed(before, target.manifest)
    contents = {target.manifest: with_server(before, target.server, entry, file=target.manifest)}
    fleet = read_manifests({**target.fleet.files, **contents}).fleet
    for name, value in secrets.items():
        if value is not None:
            file = secret_file(target.manifest, target.server, name)
            contents[file] = _sealed(target, fleet, name, value)
    read_manifests({**target.fleet.files, **contents})
    return Added(
        server=target.server,
        manifest=target.manifest,
        entry=entry,
        contents=contents,
        encrypted=tuple(name for name, value in secrets.items() if value is not None),
        open_secrets=tuple(name for name, value in secrets.items() if value is None),
    )


def write(result: Added, target: Destination) -> None:
    """Secret files first: a manifest never declares what is not there yet because of a failure in between.

    Raises:
        CatwalkError: a file changed meanwhile, or the disk refuses.
    """
    for file in sorted(result.contents, key=is_manifest):
        replace_file(
            target.fleet.directory / file, result.contents[file], lambda _: None, before=target.fleet.files.get(file)
        )


def _sealed(target: Destination, fleet: str, name: str, value: SecretValue) -> bytes:
    file = secret_file(target.manifest, target.server, name)
    encryption = find_rule(target.fleet.directory / file).encryption
    place = f"{fleet}/{target.server}/{name}"
    return new_secret_file(value, place, encryption, file=file, last_modified=SystemClock().now())


def _entry(draft: Draft, answers: Answers) -> tuple[Entry, dict[str, SecretValue | None]]:
    revealed = answers.revealed()
    entry: dict[str, EntryValue] = {"description": draft.description} if draft.description else {}
    entry |= _source(draft)
    if arguments := _arguments(draft, revealed):
        entry["args"] = arguments
    if draft.path:
        entry["transport"] = {"type": "streamable-http", "port": draft.port, "path": draft.path}
    filled = [(name, piece.is_secret, piece.filled(revealed), piece) for name, piece in draft.variables]
    if plain := {name: value for name, secret, value, _ in filled if not secret and value is not None}:
        entry["env"] = plain
    secrets: dict[str, SecretValue | None] = {
        name: None if value is None else SecretValue(value)
        for name, secret, value, piece in filled
        if secret and (value is not None or any(question.needs_answer for question in piece.questions))
    }
    if draft.headers:
        entry["remote"], values = _remote(draft, answers)
        secrets |= values
    if secrets:
        entry["secrets"] = cast("EntryValue", dict.fromkeys(secrets))
    return entry, secrets


def _source(draft: Draft) -> dict[str, EntryValue]:
    key, value = draft.source
    return {key: {"url": value} if key == "remote" else value}


def _remote(draft: Draft, answers: Answers) -> tuple[EntryValue, dict[str, SecretValue | None]]:
    """The address with its headers, in which `${NAME}` stands for a secret, and those secrets."""
    headers: dict[str, EntryValue] = {}
    secrets: dict[str, SecretValue | None] = {}
    for header, piece in draft.headers:
        names = {each.name: variable_name(each.name) for each in piece.questions if each.about.is_secret}
        stand_ins = {question: f"${{{name}}}" for question, name in names.items()}
        optional = any(not question.about.is_required for question in piece.questions)
        answered = names.keys() <= answers.secrets.keys()
        value = piece.filled({**answers.texts, **stand_ins}) if answered or not optional else None
        if value is not None:
            headers[header] = value
            secrets |= {name: answers.secrets.get(question) for question, name in names.items()}
    return {"url": draft.source[1], **({"headers": headers} if headers else {})}, secrets


def variable_name(words: str) -> str:
    """A name that a secret may have: `X-Api-Key` is `X_API_KEY`."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper() or "SECRET"
    return name if not name[0].isdigit() else f"_{name}"


def _arguments(draft: Draft, revealed: Mapping[str, str]) -> list[str]:
    filled = [(flag.name, flag.piece.filled(revealed)) for flag in draft.arguments]
    return [_argument(name, value) for name, value in filled if value is not None]


def _argument(name: str, value: str) -> str:
    """`--name=value`, as the schema has it; a flag alone where the value is empty."""
    return f"{name}={value}" if name and value else name or value


def _refuse_sealed(content: bytes, manifest: str) -> None:
    if is_encrypted(content) and not inspect(content, manifest).metadata.mac_only_encrypted:
        raise SourceError(
            "manifest-sealed",
            f"{manifest} is sealed as a whole, so that an entry cannot be added without its key",
            hint="set mac_only_encrypted in .sops.yaml and seal it again, or keep secrets in files of their own",
            location=Location(file=manifest),
        )

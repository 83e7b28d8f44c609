"""The secrets of the fleet in a directory, as the files lie there: what every `catwalk secrets` command starts from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NoReturn

import anyio
import click

from reconciler.cli.place import with_dotenv
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.types import SecretDeclaration, ServerSpec
from reconciler.errors import EnvironmentFault, SourceError
from reconciler.settings import read_settings
from reconciler.sops.files import is_encrypted
from reconciler.sops.identities import Identities, load_identities
from reconciler.sops.metadata import KeyService
from reconciler.sops.services.configured import key_environment
from reconciler.sops.writing.creation import Encryption
from reconciler.sops.writing.creation_rules import find_rule
from reconciler.sources.git import WorktreeSource
from reconciler.sources.layout import ENCRYPTED_SUFFIX, is_manifest, is_secret_file, secret_file
from reconciler.sources.manifests import read_manifests

FLEET: Final = click.option(
    "--directory",
    "-C",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="The directory of the fleet; by default the present one.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFiles:
    """Manifests and secret files, by path relative to the directory."""

    directory: Path
    files: Mapping[str, bytes]

    def manifests(self) -> ManifestSet:
        """What the manifests say.

        Raises:
            InvalidManifests: they cannot be used.
        """
        return read_manifests(self.files)

    def sops_files(self) -> tuple[str, ...]:
        """Secret files, encrypted or not, and manifests with secrets in them."""
        return tuple(
            file
            for file, content in sorted(self.files.items())
            if is_secret_file(file) or (is_manifest(file) and is_encrypted(content))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPlace:
    """One secret: where it belongs, and where its value is."""

    fleet: str
    server: str
    name: str
    file: str
    """Relative to the directory."""
    inline: bool
    declared: bool

    @property
    def place(self) -> str:
        """What a file of its own must say of itself."""
        return f"{self.fleet}/{self.server}/{self.name}"


def read_fleet(directory: Path) -> FleetFiles:
    """The files of a fleet.

    Raises:
        EnvironmentFault: there is no such directory.
        SourceError: a file exceeds a limit.
    """
    if not directory.is_dir():
        raise EnvironmentFault("no-such-directory", f"{directory} is no directory", hint="name that with catwalk.yaml")
    return FleetFiles(directory=directory, files=anyio.run(_files, directory))


async def _files(directory: Path) -> Mapping[str, bytes]:
    source = WorktreeSource(directory=directory)
    return await source.files(await source.head())


def environment_identities(directory: Path, environment: Mapping[str, str]) -> Identities:
    """The keys that the environment, completed from the `.env` of the directory, names.

    Raises:
        KeyUnreadable: the key file cannot be read.
    """
    settings = read_settings(with_dotenv(directory, environment))
    return load_identities(key_environment(settings.key_environment or {}))


def encryption_for(directory: Path, path: Path) -> Encryption:
    """How `.sops.yaml` wants a file; where it names key services, those of the environment are at hand.

    Raises:
        InvalidCreationRules: no usable rule.
        KeyUnreadable: the key file cannot be read, and is needed to know the key services.
    """
    encryption = find_rule(path).encryption
    if all(key.service is KeyService.AGE for key in encryption.keys.keys):
        return encryption
    return replace(encryption, services=environment_identities(directory, os.environ).services)


def spec_of(manifests: ManifestSet, server: str) -> ServerSpec:
    """The server of that name.

    Raises:
        SourceError: there is none.
    """
    found = next((spec for spec in manifests.specs if spec.name == server), None)
    return found if found is not None else _refuse_server(manifests, server)


def place_of(manifests: ManifestSet, server: str, name: str) -> SecretPlace:
    """The place of a secret, declared or not; where it is not, that of a file of its own.

    Raises:
        SourceError: there is no such server.
    """
    spec = spec_of(manifests, server)
    declared = next((each for each in spec.secrets if each.name == name), None)
    if declared is not None:
        return declared_place(spec, declared)
    file = secret_file(manifest_of(spec), server, name)
    return SecretPlace(fleet=spec.fleet, server=server, name=name, file=file, inline=False, declared=False)


def declared_place(spec: ServerSpec, declared: SecretDeclaration) -> SecretPlace:
    """The place of a secret that a manifest declares."""
    return SecretPlace(
        fleet=spec.fleet,
        server=spec.name,
        name=declared.name,
        file=declared.file,
        inline=declared.inline,
        declared=True,
    )


def all_places(fleet: FleetFiles, manifests: ManifestSet) -> tuple[SecretPlace, ...]:
    """Every declared secret, and every secret file that no manifest declares."""
    declared = [declared_place(spec, each) for spec in manifests.specs for each in spec.secrets]
    known = {place.file for place in declared}
    strays = [_stray(manifests, file) for file in fleet.files if is_secret_file(file) and file not in known]
    return (*declared, *sorted(strays, key=lambda place: place.file))


def manifest_of(spec: ServerSpec) -> str:
    """The manifest that declares a server."""
    if spec.location is None:  # pragma: no cover - Specs that are read from files have a place.
        raise SourceError("no-manifest", f"it is not known which file declares {spec.name}")
    return spec.location.file


def _stray(manifests: ManifestSet, file: str) -> SecretPlace:
    *_, server, name = ("", "", *file.split("/"))
    return SecretPlace(
        fleet=manifests.fleet,
        server=server,
        name=name.removesuffix(ENCRYPTED_SUFFIX),
        file=file,
        inline=False,
        declared=False,
    )


def _refuse_server(manifests: ManifestSet, server: str) -> NoReturn:
    names = [spec.name for spec in manifests.specs]
    near = get_close_matches(server, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the servers are {', '.join(names) or 'none yet'}"
    raise SourceError("unknown-server", f"no manifest declares a server {server}", hint=hint)

"""The secrets of one server, from the manifest or from a file of their own.

Implements the `SecretReader` port of the loop. A manifest is opened once for all servers in it; what it says is kept
only as long as the file does not change.
"""

import hashlib
from collections.abc import Mapping

import anyio.to_thread

from reconciler.core.secret import SecretValue
from reconciler.core.types import SecretDeclaration, ServerSpec
from reconciler.errors import SourceError
from reconciler.sops.document import Decrypted, decrypt
from reconciler.sops.file_ages import FileAges
from reconciler.sops.identities import Identities
from reconciler.sops.secret_file import secret_of


class ServerSecrets:
    """Reads secrets with one set of identities."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._ages = FileAges()
        self._opened: dict[str, tuple[bytes, Decrypted]] = {}

    async def read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> Mapping[str, SecretValue]:
        """The plaintext of every secret that `spec` declares, by name.

        Raises:
            SourceError: a file is missing, was tampered with, or holds something else.
            CatwalkError: no key, or a key that does not fit.
        """
        if not spec.secrets:
            return {}
        return await anyio.to_thread.run_sync(self._read, spec, files)

    def _read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> Mapping[str, SecretValue]:
        return {declared.name: self._value(spec, declared, files) for declared in spec.secrets}

    def _value(self, spec: ServerSpec, declared: SecretDeclaration, files: Mapping[str, bytes]) -> SecretValue:
        text = files.get(declared.file)
        if text is None:
            raise _missing_file(spec, declared)
        if not declared.inline:
            place = f"{spec.fleet}/{spec.name}/{declared.name}"
            opened = decrypt(text, self._identities, file=declared.file)
            value = secret_of(opened, file=declared.file, place=place)
            self._ages.note(declared.file, opened.last_modified)
            return value
        values = self._open(declared.file, text).values_under(("servers", spec.name, "secrets"), only=(declared.name,))
        if declared.name not in values:
            raise _missing_value(spec, declared)
        return values[declared.name]

    def _open(self, file: str, text: bytes) -> Decrypted:
        digest = hashlib.sha256(text).digest()
        known = self._opened.get(file)
        if known is None or known[0] != digest:
            known = (digest, decrypt(text, self._identities, file=file))
            self._opened[file] = known
            self._ages.note(file, known[1].last_modified)
        return known[1]


def _missing_file(spec: ServerSpec, declared: SecretDeclaration) -> SourceError:
    return SourceError(
        "secret-file-missing",
        f"the secret {declared.name} has no value: {declared.file} does not exist at this revision",
        hint=f"run `catwalk secrets set {spec.name} {declared.name}`, and commit the file",
        location=declared.location,
        server=spec.name,
    )


def _missing_value(spec: ServerSpec, declared: SecretDeclaration) -> SourceError:
    return SourceError(
        "secret-value-missing",
        f"the secret {declared.name} has no value in {declared.file}",
        hint="set an encrypted value, or remove the name",
        location=declared.location,
        server=spec.name,
    )

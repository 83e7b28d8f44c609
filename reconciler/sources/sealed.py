"""What stands in the files of a revision in the place of each secret, without opening anything.

For whoever may compare secrets and must not know them: a plan of a proposed commit tells that a secret changes when
its ciphertext does. A file that is encrypted anew under the same value counts as changed.
"""

import hashlib
from collections.abc import Mapping
from typing import cast

from reconciler.core.types import SecretDeclaration, ServerSpec
from reconciler.errors import SourceError
from reconciler.sources.yaml_nodes import read_document


def sealed_secrets(spec: ServerSpec, files: Mapping[str, bytes]) -> Mapping[str, str]:
    """A digest of the ciphertext of every secret that `spec` declares, by name.

    `files` have passed the manifest reader.

    Raises:
        SourceError: a file or a value is missing.
    """
    return {declared.name: _sealed(spec, declared, files) for declared in spec.secrets}


def _sealed(spec: ServerSpec, declared: SecretDeclaration, files: Mapping[str, bytes]) -> str:
    content = files.get(declared.file)
    if content is None:
        raise _missing(spec, declared)
    if declared.inline:
        content = _inline(spec, declared, content).encode("utf-8")
    return hashlib.sha256(content).hexdigest()


def _inline(spec: ServerSpec, declared: SecretDeclaration, content: bytes) -> str:
    here: object = read_document(declared.file, content).data
    for key in ("servers", spec.name, "secrets", declared.name):
        here = cast("Mapping[str, object]", here).get(key) if isinstance(here, dict) else None
    if not isinstance(here, str):
        raise _missing(spec, declared)
    return here


def _missing(spec: ServerSpec, declared: SecretDeclaration) -> SourceError:
    return SourceError(
        "secret-file-missing",
        f"the secret {declared.name} has no value: there is none in {declared.file} at this revision",
        hint=f"run `catwalk secrets set {spec.name} {declared.name}`, and commit the file",
        location=declared.location,
        server=spec.name,
    )

"""Remembers every secret that was decrypted, so that whatever is shown later can be cleaned of it.

It stands between the secret reader and the pass, and hands its redactor to the doors that bring foreign text in: log
lines and what servers answer to a probe.
"""

from collections.abc import Mapping

from reconciler.core.redact import Redactor
from reconciler.core.secret import SecretValue
from reconciler.core.types import ServerSpec
from reconciler.loop.ports import SecretReader, ServerSecrets


class KnownSecrets:
    """Wraps the `SecretReader` port."""

    def __init__(self, reader: SecretReader) -> None:
        self._reader = reader
        self._values: dict[tuple[str, str], SecretValue] = {}
        self._redactor = Redactor(())

    async def read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> ServerSecrets:
        """What the reader gives; remembered. Values that were replaced stay known until the process ends."""
        found = await self._reader.read(spec, files)
        fresh = {(name, value.reveal()): value for name, value in found.items()}
        if not fresh.keys() <= self._values.keys():
            self._values |= fresh
            self._redactor = Redactor(self._values.values())
        return found

    def redact(self, text: str) -> str:
        """The text without any secret that is known."""
        return self._redactor(text)

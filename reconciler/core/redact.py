"""Takes known secrets out of text before anybody sees it.

Servers print their own environment, and APIs echo what they were sent. A redactor knows the values of one pass and
masks them, also where they appear Base64 or URL encoded or escaped as JSON. Very short values are left alone: masking
every `1` would destroy the text and hide nothing.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from reconciler.core.secret import MASK, SecretValue

SHORTEST_MASKED = 4
"""Characters. Shorter secrets cannot be told from ordinary text."""


class Redactor:
    """A function from text to text without the given secrets."""

    __slots__ = ("_forms",)

    def __init__(self, secrets: Iterable[SecretValue]) -> None:
        forms = {form for secret in secrets for form in _forms(secret.reveal()) if len(form) >= SHORTEST_MASKED}
        # Longest first, so that a secret that contains another is masked whole.
        self._forms = tuple(sorted(forms, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms)"


def _forms(plaintext: str) -> Iterator[str]:
    if len(plaintext) < SHORTEST_MASKED:
        return
    yield plaintext
    yield from (line for line in plaintext.splitlines() if len(line) >= SHORTEST_MASKED)
    yield json.dumps(plaintext)[1:-1]
    yield json.dumps(plaintext, ensure_ascii=False)[1:-1]
    yield quote(plaintext, safe="")
    yield quote_plus(plaintext)
    yield from _encoded(plaintext.encode("utf-8"))


def _encoded(data: bytes) -> Iterator[str]:
    """Base64 of the value alone and, without the edges that depend on neighbours, at the other two alignments."""
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode("ascii").rstrip("=")
        for shift in range(3):
            text = encode(b"\0" * shift + data).decode("ascii").rstrip("=")
            yield text[4 if shift else 0 : -2]

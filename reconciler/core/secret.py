"""The one type that holds a secret value in memory.

Every way in which a value usually leaks by accident (repr, str, format, JSON, pickle, structured logs) shows a mask
instead; the plaintext comes out by `reveal()` alone, so a search for that word finds every place that handles it.
"""

from typing import Final, NoReturn, Self

MASK: Final = "********"


class SecretValue:
    """A secret string. Equal values compare equal; hashing and ordering are refused so that no container leaks them."""

    __slots__ = ("_plaintext",)
    __hash__ = None  # type: ignore[assignment]  # A hash of a secret must not end up in a dict or a log.

    def __init__(self, plaintext: str) -> None:
        self._plaintext = plaintext

    def reveal(self) -> str:
        """The plaintext, for the one call that must send it on."""
        return self._plaintext

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and other._plaintext == self._plaintext

    def __repr__(self) -> str:
        return f"SecretValue({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret value is never pickled.")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

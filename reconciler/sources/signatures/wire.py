"""SSH's wire form: texts with their length before them (RFC 4251, section 5). No read goes beyond what is there."""

from dataclasses import dataclass


class WireError(ValueError):
    """The bytes are not what they say they are."""


@dataclass(slots=True)
class Wire:
    """Reads a message from its beginning to its end."""

    content: bytes
    place: int = 0

    def take(self, size: int) -> bytes:
        """Raises: WireError: there are fewer."""
        part = self.content[self.place : self.place + size]
        if len(part) != size:
            raise WireError("the message ends too early")
        self.place += size
        return part

    def number(self) -> int:
        """Raises: WireError: there is none."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """Raises: WireError: there is none."""
        return self.take(self.number())

    def integer(self) -> int:
        """A number of any size that is not negative. Raises: WireError: there is none."""
        value = int.from_bytes(self.string(), "big", signed=True)
        if value < 0:
            raise WireError("a number is negative")
        return value

    def end(self) -> None:
        """Raises: WireError: something follows."""
        if self.place != len(self.content):
            raise WireError("the message goes on after its end")


def text(value: bytes) -> bytes:
    """A text with its length before it."""
    return len(value).to_bytes(4, "big") + value

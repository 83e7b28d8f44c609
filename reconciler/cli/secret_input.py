"""How a secret comes in: typed without an echo, or through stdin; never as an argument.

Arguments stand in the history of shells and in the process list of the machine, so that a value given there is refused
without being repeated.
"""

import sys
from typing import Final

import click

from reconciler.core.secret import SecretValue

LARGEST_SECRET_BYTES: Final = 256 * 1024


def read_secret(label: str, *, exact: bool) -> SecretValue:
    """The value that a person types twice, or that a program writes to stdin.

    The line break with which `echo` and editors end a text is no part of it, unless `exact`.

    Raises:
        UsageError: it is too large, empty, or not UTF-8 text.
    """
    if sys.stdin.isatty():
        typed: str = click.prompt(label, hide_input=True, confirmation_prompt=True, err=True)
        return SecretValue(typed)
    content = sys.stdin.buffer.read(LARGEST_SECRET_BYTES + 1)
    if len(content) > LARGEST_SECRET_BYTES:
        raise click.UsageError(f"a secret may have {LARGEST_SECRET_BYTES} bytes, and stdin has more")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # Chained to nothing: the exception carries the bytes.
        raise click.UsageError("stdin is not UTF-8 text; encode binary values, for example as base64") from None
    value = text if exact else text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise click.UsageError("stdin is empty; pipe the value into the command, or run it in a terminal")
    return SecretValue(value)


def refuse_argument(extra: tuple[str, ...]) -> None:
    """Raises: UsageError: there is something that looks like a value on the command line."""
    if extra:
        raise click.UsageError(
            "a value does not belong on the command line, where the history and other processes see it: type it when "
            "asked, or pipe it in. If this was a real secret, replace it at its source"
        )

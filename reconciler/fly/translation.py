"""From an answer that is no success to the error that says what to do.

Two services answer behind one host: apps with `{"message": …}`, machines with `{"error": …}`; an unknown route answers
plain text before it even looks at the token. All three are read.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from pydantic import ValidationError

from reconciler.errors import CatwalkError
from reconciler.fly.calls import Call
from reconciler.fly.error_rules import Answer
from reconciler.fly.error_table import RULES
from reconciler.fly.wire import ErrorBody

_QUOTE_CHARACTERS: Final = 300


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """The parts of an error answer that decide, whatever form it has."""
    try:
        parsed = ErrorBody.model_validate_json(body)
    except ValidationError:
        parsed = ErrorBody(error=body.decode("utf-8", "replace").strip())
    return Answer(
        status=status,
        text=parsed.message or parsed.error,
        code=parsed.reason,
        request_id=request_id(headers),
        retry_after_s=_retry_after_s(headers),
    )


def request_id(headers: Mapping[str, str]) -> str:
    """Fly's name for the call, which its support asks for."""
    return headers.get("fly-request-id", "")[:100]


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """RFC 9110, 10.2.3: seconds, or a date, which is read against the answer's own date and so against one clock."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def translate(call: Call, answer: Answer) -> CatwalkError:
    """The error that `answer` means for `call`, not raised yet."""
    rule = next(rule for rule in RULES if rule.fits(call.effect, answer))
    return rule.build(rule, answer, _explain(call, answer))


def _explain(call: Call, answer: Answer) -> str:
    quoted = "" if call.confidential else _quote(answer.text)
    said = f": {quoted}" if quoted else ""
    return f"could not {call.purpose}{said} [{identify(answer.status, answer.request_id)}]"


def identify(status: int, identifier: str) -> str:
    """How a message names the answer that it is about."""
    return f"HTTP {status}, fly-request-id {identifier or 'none'}"


def _quote(text: str) -> str:
    """One line, cut, without control characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _QUOTE_CHARACTERS else f"{line[:_QUOTE_CHARACTERS]}…"

"""Reads what an MCP server answers over Streamable HTTP: one JSON object, or a stream of events that holds it.

Whatever comes is bounded and judged here; a server that sends something else is told apart from one that sends nothing.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final, cast

import httpx

from reconciler.fly.calls import MEBIBYTE
from reconciler.fly.event_stream import EventStream

LIMIT_BYTES: Final = 8 * MEBIBYTE
_QUOTE_CHARACTERS: Final = 200


class UnwellError(Exception):
    """Why a server did not answer. It never leaves a probe."""


async def answer_to(request_id: int, method: str, response: httpx.Response) -> Mapping[str, object]:
    """The JSON-RPC response with that id, from a JSON body or from a stream of events.

    Raises:
        UnwellError: there is none.
    """
    if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
        return await _from_events(request_id, method, response)
    message = _parse(b"".join([chunk async for chunk in _bounded(response)]))
    if not _answers(message, request_id):
        raise UnwellError(f"{method} was answered with something that is no JSON-RPC response")
    return message


async def _from_events(request_id: int, method: str, response: httpx.Response) -> Mapping[str, object]:
    stream = EventStream()
    async with aclosing(_bounded(response)) as chunks:
        async for chunk in chunks:
            for message in map(_parse, stream.feed(chunk)):
                if _answers(message, request_id):
                    return message
    for message in map(_parse, stream.close()):
        if _answers(message, request_id):
            return message
    raise UnwellError(f"the stream that answers {method} ended without the answer")


def _answers(message: Mapping[str, object], request_id: int) -> bool:
    """An error may lack the id, because a server that cannot read a request cannot repeat it (JSON-RPC 2.0, 5.1)."""
    own = message.get("id") == request_id or (message.get("id") is None and "error" in message)
    return own and "method" not in message


async def _bounded(response: httpx.Response) -> AsyncGenerator[bytes]:
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > LIMIT_BYTES:
            raise UnwellError(f"its answer is larger than {LIMIT_BYTES // MEBIBYTE} MiB")
        yield chunk


async def excerpt(response: httpx.Response) -> str:
    """The beginning of an error's text, for people; the proxy and the adapter explain themselves there."""
    head = b""
    async for chunk in response.aiter_bytes():
        head += chunk
        if len(head) >= _QUOTE_CHARACTERS:
            break
    text = one_line(head.decode("utf-8", "replace"))
    return f": {text}" if text else ""


def _parse(data: bytes | str) -> Mapping[str, object]:
    """One JSON object; anything else is empty and so no answer to anything."""
    try:
        return as_object(cast("object", json.loads(data)))
    except (ValueError, RecursionError):
        return {}


def one_line(text: str) -> str:
    """Text as one short line without control characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _QUOTE_CHARACTERS else f"{line[:_QUOTE_CHARACTERS]}…"


def as_object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def as_objects(value: object) -> list[Mapping[str, object]]:
    return [as_object(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""

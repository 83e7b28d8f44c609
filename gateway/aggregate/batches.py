"""Batches of 2025-03-26: several messages in one POST, answered as one array, or one after the other on a stream."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from litestar.types import HTTPReceiveMessage, Send

from gateway.aggregate.gathering import RefusedRequest
from gateway.aggregate.inner import Collected, never
from gateway.aggregate.legacy import LegacySide, Turn
from gateway.aggregate.sessions import Session
from gateway.aggregate.visit import Outlet, Visit
from gateway.client import Client
from gateway.protocol.errors import INVALID_REQUEST, Refusal
from gateway.protocol.messages import InvalidMessage, Message, MessageKind, read_message
from gateway.protocol.revisions import BATCH_REVISION
from gateway.protocol.scan import MalformedJson, array_items

_MAX_BATCH = 100


async def post_batch(side: LegacySide, visit: Visit, text: str) -> None:
    """Carry out all of it. Raises RefusedRequest, SessionNotFound."""
    session = side.session_of(visit)
    if session.revision != BATCH_REVISION:
        raise _refused("batches ended with revision 2025-03-26")
    messages = _read(text)
    for message in messages:
        if message.kind is not MessageKind.REQUEST:
            await side.take_in(visit, session, message)
    requests = [message for message in messages if message.kind is MessageKind.REQUEST]
    if not requests:
        await visit.accepted()
        return
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(_one(side, visit, session, message)) for message in requests]
    await _finish(visit, [answer.result() for answer in answers])


async def _finish(visit: Visit, answers: Sequence[str]) -> None:
    if not visit.outlet.is_stream:
        await visit.outlet.finish(f"[{','.join(answers)}]")
        return
    for answer in answers:
        await visit.outlet.say(answer)
    await visit.outlet.end()


async def _one(side: LegacySide, visit: Visit, session: Session, message: Message) -> str:
    """The answer to one request; what comes beside it goes to the client at once."""
    collected = Collected(visit.outlet.say)
    client = Client(_nothing, cast("Send", collected))
    inner = replace(visit, client=client, outlet=Outlet(client))
    try:
        await side.carry_out(Turn(visit=inner, session=session, message=message))
    except RefusedRequest as error:
        return error.refusal.body(message.raw_id).decode("utf-8")
    return collected.body.decode("utf-8")


async def _nothing() -> HTTPReceiveMessage:
    """What a client sends that has sent everything and stays."""
    await never()
    return {"type": "http.disconnect"}


def _read(text: str) -> list[Message]:
    try:
        messages = [read_message(item) for item in array_items(text)]
    except (MalformedJson, InvalidMessage) as error:
        raise _refused(str(error)) from error
    if not 0 < len(messages) <= _MAX_BATCH:
        raise _refused(f"a batch has 1 to {_MAX_BATCH} messages")
    return messages


def _refused(text: str) -> RefusedRequest:
    return RefusedRequest(Refusal(code=INVALID_REQUEST, message=text, http_status=400))

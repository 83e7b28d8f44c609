"""Ask the client something in whichever era it speaks: a request of the server, or a result that wants input."""

import json
from collections.abc import Mapping
from typing import Any

import anyio
from mcp import types
from mcp.server.mcpserver import Context
from mcp.shared.message import ServerMessageMetadata

MODERN = "2026-07-28"
_RESULTS: dict[str, type[types.Result]] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}
Answers = Mapping[str, Any]
Question = types.ElicitRequest | types.CreateMessageRequest | types.ListRootsRequest


def elicitation(message: str, schema: dict[str, Any]) -> types.ElicitRequest:
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(text: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def roots() -> types.ListRootsRequest:
    return types.ListRootsRequest()


async def ask(
    ctx: Context, questions: Mapping[str, Question], state: str | None = None
) -> Answers | types.InputRequiredResult:
    """The answers to all questions, or the result that asks for them."""
    if ctx.protocol_version != MODERN:
        return await _ask_now(ctx, questions)
    given = ctx.input_responses or {}
    if questions.keys() <= given.keys():
        return given
    return types.InputRequiredResult(input_requests=dict(questions), request_state=state)


async def _ask_now(ctx: Context, questions: Mapping[str, Question]) -> Answers:
    answers: dict[str, Any] = {}
    related = ServerMessageMetadata(related_request_id=ctx.request_context.request_id)

    async def one(key: str, question: Question) -> None:
        answers[key] = await ctx.session.send_request(question, _RESULTS[question.method], metadata=related)

    if len(questions) == 1:
        await one(*next(iter(questions.items())))
        return answers
    async with anyio.create_task_group() as tasks:
        for key, question in questions.items():
            tasks.start_soon(one, key, question)
    return answers


def content_of(answer: object) -> dict[str, Any]:
    """What a form was filled with; empty when it was declined, cancelled, or answered with something else."""
    return dict(answer.content or {}) if isinstance(answer, types.ElicitResult) else {}


def described(answer: object) -> str:
    action = answer.action if isinstance(answer, types.ElicitResult) else "none"
    return f"action={action}, content={json.dumps(content_of(answer))}"


def text_of(answer: object) -> str:
    """The text that a model wrote."""
    content = answer.content if isinstance(answer, types.CreateMessageResult) else None
    return content.text if isinstance(content, types.TextContent) else "nothing"

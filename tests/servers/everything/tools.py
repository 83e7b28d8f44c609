"""The tools. Names and behaviour are those that the official conformance suite asks for; the last group is our own."""

import json
from typing import Annotated, Any

import anyio
from asking import Question, ask, content_of, described, elicitation, roots, sampling, text_of
from content import ADDRESS_SCHEMA, AUDIO, COLOUR, CONFIRMATION, DEFAULTS, ENUMS, IMAGE, NAME, RESPONSE
from mcp import types
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from pydantic import Field

_STEP_S = 0.05
Asked = str | types.InputRequiredResult
CLOSED: list[str] = []
"""What ended without an answer; see `test_hold`."""


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=IMAGE, mime_type="image/png")


def embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(type="resource", resource=contents)


def test_simple_text() -> str:
    """Gives a text."""
    return "This is a simple text response for testing."


def test_image_content() -> list[types.ImageContent]:
    """Gives an image."""
    return [image()]


def test_audio_content() -> list[types.AudioContent]:
    """Gives a sound."""
    return [types.AudioContent(type="audio", data=AUDIO, mime_type="audio/wav")]


def test_embedded_resource() -> list[types.EmbeddedResource]:
    """Gives a resource."""
    return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


def test_multiple_content_types() -> list[types.TextContent | types.ImageContent | types.EmbeddedResource]:
    """Gives a text, an image and a resource."""
    text = types.TextContent(type="text", text="Multiple content types test:")
    resource = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return [text, image(), resource]


def test_error_handling() -> str:
    """Always fails."""
    raise RuntimeError("This tool intentionally returns an error for testing")


async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three lines."""
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await log(ctx, "info", line)
        await anyio.sleep(_STEP_S)
    return "Tool with logging executed successfully"


async def test_logging_tool(ctx: Context) -> str:
    """Logs one line of each of three levels."""
    levels: tuple[types.LoggingLevel, ...] = ("debug", "info", "warning")
    for level in levels:
        await log(ctx, level, f"a line of level {level}")
    return "Three lines were logged, if any were wanted"


async def log(ctx: Context, level: types.LoggingLevel, line: str) -> None:
    await ctx.session.send_log_message(level, line, "everything", related_request_id=ctx.request_context.request_id)


async def test_tool_with_progress(ctx: Context) -> str:
    """Reports 0, 50 and 100 percent."""
    for percent in (0, 50, 100):
        await ctx.report_progress(percent, 100, f"Completed step {percent} of 100")
        await anyio.sleep(_STEP_S)
    meta = ctx.request_context.meta or {}
    return str(meta.get("progress_token", "no token"))


async def test_sampling(prompt: str, ctx: Context) -> Asked:
    """Asks the client's model."""
    answers = await ask(ctx, {"completion": sampling(prompt)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"LLM response: {text_of(answers['completion'])}"


async def test_elicitation(message: str, ctx: Context) -> Asked:
    """Asks the user."""
    answers = await ask(ctx, {"user": elicitation(message, RESPONSE)})
    return answers if isinstance(answers, types.InputRequiredResult) else f"User response: {described(answers['user'])}"


async def test_elicitation_sep1034_defaults(ctx: Context) -> Asked:
    """Asks the user with defaults of every type."""
    answers = await ask(ctx, {"user": elicitation("Please review the values", DEFAULTS)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"Elicitation completed: {described(answers['user'])}"


async def test_elicitation_sep1330_enums(ctx: Context) -> Asked:
    """Asks the user to choose."""
    answers = await ask(ctx, {"user": elicitation("Please choose", ENUMS)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"Elicitation completed: {described(answers['user'])}"


async def test_streaming_elicitation(ctx: Context) -> Asked:
    """Reports progress, then asks the user."""
    await ctx.report_progress(1, 2, "about to ask")
    answers = await ask(ctx, {"user": elicitation("Shall it go on?", CONFIRMATION)})
    return answers if isinstance(answers, types.InputRequiredResult) else f"Answered: {described(answers['user'])}"


async def test_reconnection(ctx: Context) -> str:
    """Closes its event stream before the answer."""
    await log(ctx, "info", "before the stream closes")
    await ctx.close_sse_stream()
    await anyio.sleep(4 * _STEP_S)
    await log(ctx, "info", "after the stream closed")
    return "Reconnection test completed"


def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "none",  # noqa: PT028 - a tool, no test
    count: Annotated[int, Field(json_schema_extra={"x-mcp-header": "Count"})] = 0,  # noqa: PT028 - a tool, no test
    urgent: Annotated[bool, Field(json_schema_extra={"x-mcp-header": "Urgent"})] = False,  # noqa: PT028 - a tool, no test
) -> str:
    """Has arguments that a client repeats in headers."""
    return f"region={region} count={count} urgent={urgent}"


async def test_missing_capability(ctx: Context) -> str:
    """Needs a client with a model."""
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="this tool needs the client's sampling capability",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "The client can sample."


async def test_input_required_result_elicitation(ctx: Context) -> Asked:
    """Greets by name."""
    answers = await ask(ctx, {"user_name": elicitation("What is your name?", NAME)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"Hello, {content_of(answers['user_name']).get('name', 'stranger')}!"


async def test_input_required_result_sampling(ctx: Context) -> Asked:
    """Asks a model for a capital."""
    answers = await ask(ctx, {"capital_question": sampling("What is the capital of France?")})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"The model said: {text_of(answers['capital_question'])}"


async def test_input_required_result_list_roots(ctx: Context) -> Asked:
    """Counts the client's roots."""
    answers = await ask(ctx, {"client_roots": roots()})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"The client has {len(answers['client_roots'].roots)} root(s)."


async def test_input_required_result_request_state(ctx: Context) -> Asked:
    """Wants its state back."""
    answers = await ask(ctx, {"confirm": elicitation("Please confirm", CONFIRMATION)}, "the state")
    if isinstance(answers, types.InputRequiredResult):
        return answers
    kept = ctx.protocol_version != "2026-07-28" or ctx.request_state == "the state"
    return "state-ok: confirmed" if kept else "the state was lost"


async def test_input_required_result_multiple_inputs(ctx: Context) -> Asked:
    """Asks three things at once."""
    questions = {
        "user_name": elicitation("What is your name?", NAME),
        "greeting": sampling("Write a greeting", 50),
        "client_roots": roots(),
    }
    answers = await ask(ctx, questions, "three at once")
    return answers if isinstance(answers, types.InputRequiredResult) else "All inputs received."


async def test_input_required_result_multi_round(ctx: Context) -> Asked:
    """Asks for a name, then for a colour."""
    state: dict[str, Any] = json.loads(ctx.request_state or "{}")
    name = state.get("name")
    if name is None:
        answers = await ask(ctx, {"step1": elicitation("Step 1: What is your name?", NAME)}, json.dumps({"round": 1}))
        if isinstance(answers, types.InputRequiredResult):
            return answers
        name = content_of(answers["step1"]).get("name", "nobody")
    question = {"step2": elicitation("Step 2: Which colour?", COLOUR)}
    answers = await ask(ctx, question, json.dumps({"round": 2, "name": name}))
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"{name} likes {content_of(answers['step2']).get('color', 'nothing')}."


async def test_input_required_result_tampered_state(ctx: Context) -> Asked:
    """Refuses a state that was changed."""
    answers = await ask(ctx, {"confirm": elicitation("Please confirm", CONFIRMATION)}, "round-1")
    return answers if isinstance(answers, types.InputRequiredResult) else "state-ok"


async def test_input_required_result_capabilities(ctx: Context) -> Asked:
    """Asks only what the client can be asked."""
    capabilities = ctx.client_capabilities
    questions: dict[str, Question] = {}
    if capabilities is not None and capabilities.sampling is not None:
        questions["sample"] = sampling("Say hello", 50)
    if capabilities is not None and capabilities.elicitation is not None:
        questions["ask"] = elicitation("What is your name?", NAME)
    answers = await ask(ctx, questions, "by capability") if questions else {}
    return answers if isinstance(answers, types.InputRequiredResult) else f"asked {sorted(questions)}"


def json_schema_2020_12_tool() -> str:
    """Has a schema that uses many keywords."""
    return "The schema is what matters."


async def test_trigger_tool_change(ctx: Context) -> str:
    """Announces a change of the tools."""
    await ctx.notify_tools_changed()
    if ctx.protocol_version != "2026-07-28":
        await ctx.session.send_tool_list_changed()
    return "the tools changed"


async def test_trigger_prompt_change(ctx: Context) -> str:
    """Announces a change of the prompts."""
    await ctx.notify_prompts_changed()
    if ctx.protocol_version != "2026-07-28":
        await ctx.session.send_prompt_list_changed()
    return "the prompts changed"


async def test_trigger_resource_update(uri: str, ctx: Context) -> str:
    """Announces a change of one resource."""
    await ctx.notify_resource_updated(uri)
    if ctx.protocol_version != "2026-07-28":
        await ctx.session.send_resource_updated(uri)
    return "the resource changed"


async def test_hold(name: str) -> str:
    """Never answers; notes its name when it is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        CLOSED.append(name)
    return "unreachable"


def test_closed() -> str:
    """Names what was cancelled."""
    return json.dumps(CLOSED)


def test_echo(text: str) -> str:
    """Gives back its argument."""
    return text


def test_client(ctx: Context) -> str:
    """Says what the server knows about its client."""
    capabilities = ctx.client_capabilities
    known = capabilities.model_dump(by_alias=True, exclude_none=True, mode="json") if capabilities else None
    return json.dumps({"revision": ctx.protocol_version, "capabilities": known})


TOOLS = tuple(
    value for name, value in list(globals().items()) if name.startswith("test_") or name == "json_schema_2020_12_tool"
)


def add_tools(server: MCPServer) -> None:
    for tool in TOOLS:
        server.add_tool(tool, structured_output=False)
    server._tool_manager._tools["json_schema_2020_12_tool"].parameters = ADDRESS_SCHEMA

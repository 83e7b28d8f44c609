"""Asks a server for its tools, and runs one, as the person who looks at the dashboard and through the gateway itself.

Nothing goes around the gateway: the person's own token is checked, and policy, limits and the audit line count as for
every other client. The gateway is called inside this process, without a connection. It is a legacy client (MCP
2025-11-25) that gives its session back.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import anyio
import httpx

from reconciler.cli.auditing import from_page
from reconciler.cli.sign_in import token_of
from reconciler.core.digests import JSON
from reconciler.errors import InternalFault, Refused, Unavailable
from reconciler.fly.mcp_answers import UnwellError, answer_to, as_object, as_objects, as_text, excerpt
from reconciler.web.tools import ToolAnswer, ToolFacts

PROTOCOL: Final = "2025-11-25"
TIMEOUT_S: Final = 60.0
"""For waking a server and its answer; whoever waits longer uses a client."""
GOODBYE_TIMEOUT_S: Final = 2.0
PAGES: Final = 20


@dataclass(slots=True, kw_only=True)
class _Session:
    http: httpx.AsyncClient
    url: str
    headers: dict[str, str]
    last_id: int = 0

    async def request(self, method: str, params: Mapping[str, JSON]) -> Mapping[str, object]:
        """The result of a request.

        Raises:
            Refused: the gateway or the server answered with an error.
            UnwellError: the answer is none.
        """
        self.last_id += 1
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": dict(params)}
        async with self.http.stream("POST", self.url, json=message, headers=self.headers) as response:
            if not response.is_success:
                raise Refused("tool-refused", f"HTTP {response.status_code}{await excerpt(response)}")
            if session := response.headers.get("mcp-session-id"):
                self.headers["Mcp-Session-Id"] = session
            answer = await answer_to(self.last_id, method, response)
        if (error := answer.get("error")) is not None:
            raise Refused("tool-refused", as_text(as_object(error).get("message"))[:500] or "an error without words")
        return as_object(answer.get("result"))

    async def notify(self, method: str) -> None:
        async with self.http.stream(
            "POST", self.url, json={"jsonrpc": "2.0", "method": method}, headers=self.headers
        ) as response:
            await response.aread()


class GatewayToolDesk:
    """Implements `reconciler.web.tools.ToolDesk`. `connect` says which gateway, once there is one."""

    def __init__(self, gateway_url: str) -> None:
        self._url = gateway_url.rstrip("/")
        self._app: Any = None

    def __deepcopy__(self, memo: object) -> "GatewayToolDesk":
        """Litestar copies what routers are given; there is one gateway behind all copies."""
        return self

    def connect(self, app: Any) -> None:  # noqa: ANN401 - An ASGI application, which every library types in its own way.
        self._app = app

    async def tools(self, server: str, authorization: str) -> tuple[ToolFacts, ...]:
        """As `ToolDesk.tools`."""
        async with self._session(server, authorization) as session:
            found: list[ToolFacts] = []
            cursor = ""
            for _ in range(PAGES):
                answer = await session.request("tools/list", {"cursor": cursor} if cursor else {})
                found += [_facts(tool) for tool in as_objects(answer.get("tools"))]
                cursor = as_text(answer.get("nextCursor"))
                if not cursor:
                    break
            return tuple(found)

    async def call(self, server: str, tool: str, arguments: Mapping[str, JSON], authorization: str) -> ToolAnswer:
        """As `ToolDesk.call`."""
        async with self._session(server, authorization) as session:
            told = from_page.set(True)
            try:
                result = await session.request("tools/call", {"name": tool, "arguments": dict(arguments)})
            finally:
                from_page.reset(told)
            return ToolAnswer(result=dict(result), is_error=result.get("isError") is True)

    @asynccontextmanager
    async def _session(self, server: str, authorization: str) -> AsyncGenerator[_Session]:
        if self._app is None:
            raise InternalFault("no-gateway", "the gateway is not connected to the pages")
        headers = {"Accept": "application/json, text/event-stream"}
        if token := token_of(authorization):
            headers["Authorization"] = f"Bearer {token.decode('utf-8')}"
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S) as http:
            session = _Session(http=http, url=f"{self._url}/servers/{server}/mcp", headers=headers)
            try:
                with anyio.fail_after(TIMEOUT_S):
                    await _introduce(session)
                    yield session
            except UnwellError as error:
                raise Unavailable("tool-no-answer", str(error), hint="look at the server's log") from error
            except (TimeoutError, httpx.HTTPError) as error:
                message = f"{server} gave no answer within {TIMEOUT_S:.0f} s"
                raise Unavailable("tool-no-answer", message, hint="look at the server's log") from error
            finally:
                await _say_goodbye(session)


async def _introduce(session: _Session) -> None:
    client: dict[str, JSON] = {"name": "catwalk-dashboard", "version": "1"}
    answer = await session.request(
        "initialize", {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client}
    )
    session.headers["MCP-Protocol-Version"] = as_text(answer.get("protocolVersion")) or PROTOCOL
    await session.notify("notifications/initialized")


async def _say_goodbye(session: _Session) -> None:
    if "Mcp-Session-Id" not in session.headers:
        return
    with anyio.move_on_after(GOODBYE_TIMEOUT_S, shield=True), suppress(httpx.HTTPError):
        await session.http.delete(session.url, headers=session.headers)


def _facts(tool: Mapping[str, object]) -> ToolFacts:
    return ToolFacts(
        name=as_text(tool.get("name")),
        title=as_text(tool.get("title")),
        description=as_text(tool.get("description")),
        schema=dict(as_object(tool.get("inputSchema"))),
    )

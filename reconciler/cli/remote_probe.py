"""Proves over MCP that a remote server answers, in whichever era it speaks.

Most speak the legacy revisions, so that these are tried first; one that refuses `initialize` is asked as a modern
client does (2026-07-28: `server/discover`, then `tools/list`, each request on its own). A session that was begun is
given back. A server that is unwell is an answer, never an error.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import anyio
import httpx

from gateway.protocol.revisions import (
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    NEWEST_LEGACY,
    NEWEST_MODERN,
    Era,
)
from gateway.relay import RelayFault
from reconciler.core.digests import JSON
from reconciler.core.types import ProbeResult
from reconciler.fly.mcp_answers import UnwellError, answer_to, as_object, as_objects, as_text, excerpt, one_line

TIMEOUT_S: Final = 30.0
GOODBYE_TIMEOUT_S: Final = 2.0
TOOL_PAGES: Final = 50
_URL: Final = "http://remote/"
"""Of no meaning: the transport knows where to ask."""
_METHOD_NOT_FOUND: Final = -32601
_CLIENT: Final[dict[str, JSON]] = {"name": "catwalk-probe", "version": "1"}
_ACCEPT: Final = {"Accept": "application/json, text/event-stream"}
Request = Callable[[str, Mapping[str, JSON]], Awaitable[Mapping[str, object]]]
_BROKEN: Final = (UnwellError, RelayFault, httpx.HTTPError)


async def probe_remote(transport: httpx.AsyncBaseTransport) -> ProbeResult:
    """One round trip by that transport; `answered` is false, and `problem` says why, for a server that is unwell."""
    async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S) as http:
        try:
            with anyio.fail_after(TIMEOUT_S):
                return await _converse(http)
        except TimeoutError:
            return ProbeResult(answered=False, problem=f"no MCP answer within {TIMEOUT_S:.0f} s")
        except _BROKEN as error:
            return ProbeResult(answered=False, problem=_told(error))


async def _converse(http: httpx.AsyncClient) -> ProbeResult:
    legacy = _Legacy(http)
    try:
        return await legacy.converse()
    except UnwellError as refused:
        if not legacy.is_refused:
            raise
        with suppress(UnwellError):
            return await _Modern(http).converse()
        raise refused from None
    finally:
        await legacy.say_goodbye()


class _Legacy:
    """A client of the revisions with a handshake."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._headers = dict(_ACCEPT)
        self.is_refused = False
        """Whether the handshake itself was answered, and refused."""

    async def converse(self) -> ProbeResult:
        hello: dict[str, JSON] = {"protocolVersion": NEWEST_LEGACY, "capabilities": {}, "clientInfo": _CLIENT}
        self.is_refused = True
        introduced = await self._request("initialize", hello)
        version = as_text(introduced.get("protocolVersion"))
        if not version:
            raise UnwellError("initialize was answered without a protocol version, so this is no MCP server")
        self.is_refused = False
        self._headers["MCP-Protocol-Version"] = version
        notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        async with self._http.stream("POST", _URL, json=notice, headers=self._headers) as response:
            await _check("notifications/initialized", response)
        return _result(Era.LEGACY, as_object(introduced.get("serverInfo")), await _tools(self._request))

    async def say_goodbye(self) -> None:
        """End the session. A server may refuse that (405), and a dead one cannot be told."""
        if "Mcp-Session-Id" not in self._headers:
            return
        with anyio.move_on_after(GOODBYE_TIMEOUT_S, shield=True), suppress(*_BROKEN):
            async with self._http.stream("DELETE", _URL, headers=self._headers):
                pass

    async def _request(self, method: str, params: Mapping[str, JSON]) -> Mapping[str, object]:
        message: dict[str, JSON] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": dict(params)}
        async with self._http.stream("POST", _URL, json=message, headers=self._headers) as response:
            await _check(method, response)
            if session := response.headers.get("mcp-session-id"):
                self._headers["Mcp-Session-Id"] = session
            return _result_of(method, await answer_to(1, method, response))


class _Modern:
    """A client of the stateless revision."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def converse(self) -> ProbeResult:
        introduced = await self._request("server/discover", {})
        server = as_object(introduced.get("serverInfo"))
        return _result(Era.MODERN, server, await _tools(self._request))

    async def _request(self, method: str, params: Mapping[str, JSON]) -> Mapping[str, object]:
        meta: dict[str, JSON] = {
            META_VERSION: NEWEST_MODERN,
            META_CLIENT_CAPABILITIES: {},
            META_CLIENT_INFO: _CLIENT,
        }
        message: dict[str, JSON] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        headers = {**_ACCEPT, "MCP-Protocol-Version": NEWEST_MODERN, "Mcp-Method": method}
        async with self._http.stream("POST", _URL, json=message, headers=headers) as response:
            await _check(method, response)
            return _result_of(method, await answer_to(1, method, response))


async def _tools(request: Request) -> tuple[str, ...]:
    """The names of all tools; none where the server does not know the question, because tools are optional in MCP."""
    names: list[str] = []
    cursor = ""
    for _ in range(TOOL_PAGES):
        answer = await request("tools/list", {"cursor": cursor} if cursor else {})
        names += [as_text(tool.get("name")) for tool in as_objects(answer.get("tools"))]
        cursor = as_text(answer.get("nextCursor"))
        if not cursor:
            return tuple(names)
    raise UnwellError(f"its list of tools does not end after {TOOL_PAGES} pages")


async def _check(method: str, response: httpx.Response) -> None:
    if response.status_code == 401:
        raise UnwellError("it does not accept the gateway's credentials")
    if not response.is_success:
        raise UnwellError(f"{method} was answered HTTP {response.status_code}{await excerpt(response)}")


def _result_of(method: str, answer: Mapping[str, object]) -> Mapping[str, object]:
    error = answer.get("error")
    if error is None:
        return as_object(answer.get("result"))
    if method == "tools/list" and as_object(error).get("code") == _METHOD_NOT_FOUND:
        return {}
    raise UnwellError(f"{method} was answered with an error: {one_line(as_text(as_object(error).get('message')))}")


def _result(era: Era, server: Mapping[str, object], tools: tuple[str, ...]) -> ProbeResult:
    name, version = as_text(server.get("name")), as_text(server.get("version"))
    return ProbeResult(answered=True, tools=tools, era=era.value, server_name=name, server_version=version)


def _told(error: Exception) -> str:
    """What went wrong, without an address and without a library's words."""
    match error:
        case RelayFault():
            return error.cause
        case UnwellError():
            return str(error)
        case _:
            return f"the connection broke ({type(error).__name__})"

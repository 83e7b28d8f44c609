"""Proves over MCP that a server answers, by the path that its callers use: the HTTP proxy in front of its machines.

A running process proves nothing and neither does a health page; an `initialize` and a `tools/list` that come back do.
The probe is a legacy client (MCP 2025-11-25), which every server and the adapter understand, and it gives its session
back, so that probing leaves nothing behind. It is a plain request to the proxy and so wakes a sleeping machine: whoever
calls it decides whether that is wanted.

It never raises for a server that is unwell: that is an answer.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self

import anyio
import httpx

from reconciler.core.digests import JSON
from reconciler.core.types import ProbeResult
from reconciler.fly.client import USER_AGENT, Timing, tls_for
from reconciler.fly.mcp_answers import UnwellError, answer_to, as_object, as_objects, as_text, excerpt, one_line

PROTOCOL: Final = "2025-11-25"
ERA: Final = "legacy"
TOTAL_TIMEOUT_S: Final = 30.0
"""Long enough for the proxy to wake a machine, short enough to find a dead server in time."""
GOODBYE_TIMEOUT_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 3.0
"""A sleeping machine's private address stays silent instead of refusing; the proxy itself answers at once."""
TOOL_PAGES: Final = 50
_METHOD_NOT_FOUND: Final = -32601


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPath:
    """Where the proxy in front of the machines listens."""

    host: str = ""
    """Empty on Fly, where every app has a Flycast name of its own; the one proxy's address in the engine."""
    port: int = 80


@dataclass(slots=True, kw_only=True)
class _Exchange:
    """One session with one server."""

    url: str
    headers: dict[str, str]
    last_id: int = 0
    session: bool = False
    result: ProbeResult = field(default_factory=lambda: ProbeResult(answered=False, era=ERA))


class MCPProber:
    """Probes apps through one data path."""

    def __init__(
        self,
        path: DataPath,
        *,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        redact: Callable[[str], str] = str,
        timing: Timing = Timing(),  # noqa: B008  # A frozen value of functions: sharing it shares nothing.
    ) -> None:
        """Opens no connection yet.

        Args:
            path: where the proxy is.
            total_timeout_s: for one probe, from the first byte to the last.
            redact: takes secrets out of what a server answered before it is quoted.
            timing: the clock that measures.
        """
        self._path = path
        self._total_timeout_s = total_timeout_s
        self._redact = redact
        self._timing = timing
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
            headers={"User-Agent": USER_AGENT},
            verify=tls_for("http:"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        """One round trip with `app`; `answered` is false, and `problem` says why, for a server that is unwell.

        `machine_id` pins the machine that is to answer; empty leaves the choice to the proxy.
        """
        began_s = self._timing.monotonic()
        exchange = self._exchange(app)
        if machine_id:
            exchange.headers["fly-force-instance-id"] = machine_id
        try:
            with anyio.fail_after(self._total_timeout_s):
                await self._converse(exchange)
        except UnwellError as error:
            exchange.result = replace(exchange.result, problem=self._redact(str(error)))
        except TimeoutError:
            problem = f"no MCP answer within {self._total_timeout_s:.0f} s"
            exchange.result = replace(exchange.result, problem=problem)
        except httpx.HTTPError as error:
            exchange.result = replace(exchange.result, problem=_transport_problem(error))
        finally:
            await self._say_goodbye(exchange)
        duration_ms = (self._timing.monotonic() - began_s) * 1000
        return replace(exchange.result, duration_ms=duration_ms)

    def _exchange(self, app: str) -> _Exchange:
        name = f"{app}.flycast"
        url = f"http://{_bracketed(self._path.host or name)}:{self._path.port}/mcp"
        headers = {"Host": name, "Accept": "application/json, text/event-stream"}
        return _Exchange(url=url, headers=headers)

    async def _converse(self, exchange: _Exchange) -> None:
        answer = await self._request(exchange, "initialize", _introduction())
        exchange.result = _introduced(exchange.result, answer)
        exchange.headers["MCP-Protocol-Version"] = as_text(answer.get("protocolVersion"))
        await self._notify(exchange, "notifications/initialized")
        tools = tuple([name async for name in self._tools(exchange)])
        exchange.result = replace(exchange.result, answered=True, tools=tools)

    async def _tools(self, exchange: _Exchange) -> AsyncIterator[str]:
        cursor = ""
        for _ in range(TOOL_PAGES):
            params: dict[str, JSON] = {"cursor": cursor} if cursor else {}
            answer = await self._request(exchange, "tools/list", params)
            for tool in as_objects(answer.get("tools")):
                yield as_text(tool.get("name"))
            cursor = as_text(answer.get("nextCursor"))
            if not cursor:
                return
        raise UnwellError(f"its list of tools does not end after {TOOL_PAGES} pages")

    async def _request(self, exchange: _Exchange, method: str, params: Mapping[str, JSON]) -> Mapping[str, object]:
        """The result of one request; an unknown `tools/list` is an empty list, because tools are optional in MCP."""
        exchange.last_id += 1
        message: dict[str, JSON] = {"jsonrpc": "2.0", "id": exchange.last_id, "method": method, "params": dict(params)}
        async with self._http.stream("POST", exchange.url, json=message, headers=exchange.headers) as response:
            if not response.is_success:
                raise UnwellError(f"{method} was answered HTTP {response.status_code}{await excerpt(response)}")
            _remember_session(exchange, response)
            answer = await answer_to(exchange.last_id, method, response)
        error = answer.get("error")
        if error is None:
            return as_object(answer.get("result"))
        if method == "tools/list" and as_object(error).get("code") == _METHOD_NOT_FOUND:
            return {}
        raise UnwellError(f"{method} was answered with an error: {one_line(as_text(as_object(error).get('message')))}")

    async def _notify(self, exchange: _Exchange, method: str) -> None:
        message = {"jsonrpc": "2.0", "method": method}
        async with self._http.stream("POST", exchange.url, json=message, headers=exchange.headers) as response:
            if not response.is_success:
                raise UnwellError(f"{method} was answered HTTP {response.status_code}{await excerpt(response)}")

    async def _say_goodbye(self, exchange: _Exchange) -> None:
        """Ends the session. A server may refuse that (405), and a dead one cannot be told."""
        if not exchange.session:
            return
        with anyio.move_on_after(GOODBYE_TIMEOUT_S, shield=True), suppress(httpx.HTTPError):
            async with self._http.stream("DELETE", exchange.url, headers=exchange.headers):
                pass


def _introduction() -> dict[str, JSON]:
    client: dict[str, JSON] = {"name": "catwalk-probe", "version": "1"}
    return {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client}


def _introduced(result: ProbeResult, answer: Mapping[str, object]) -> ProbeResult:
    """Who the server says it is; an `initialize` without a protocol version is no MCP."""
    if not as_text(answer.get("protocolVersion")):
        raise UnwellError("initialize was answered without a protocol version, so this is no MCP server")
    server = as_object(answer.get("serverInfo"))
    name, version = as_text(server.get("name")), as_text(server.get("version"))
    return replace(result, server_name=name, server_version=version)


def _remember_session(exchange: _Exchange, response: httpx.Response) -> None:
    """A session lives in one machine, so what follows is sent to that one."""
    if session := response.headers.get("mcp-session-id"):
        exchange.session = True
        exchange.headers["Mcp-Session-Id"] = session
    if machine := response.headers.get("catwalk-machine"):
        exchange.headers["fly-force-instance-id"] = machine


def _transport_problem(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "no connection to the proxy in front of the server"
    return f"the connection broke ({type(error).__name__})"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

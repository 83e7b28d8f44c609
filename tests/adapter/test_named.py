"""Sessions that a gateway opens by a name of its own."""

import json

import anyio
import httpx

from tests.adapter.support import Adapter

ACCEPT = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


async def opened(adapter: Adapter, http: httpx.AsyncClient, number: object, **headers: str) -> httpx.Response:
    info = {"name": "test", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
    body = {"jsonrpc": "2.0", "id": number, "method": "initialize", "params": params}
    answer = await http.post(adapter.url, content=json.dumps(body), headers={**ACCEPT, **headers})
    assert answer.status_code == 200
    assert answer.json()["id"] == number
    return answer


async def session_of(adapter: Adapter, http: httpx.AsyncClient, name: str, principal: str = "ada") -> str:
    headers = {"catwalk-session-name": name, "catwalk-principal": principal}
    return (await opened(adapter, http, 1, **headers)).headers["mcp-session-id"]


async def test_a_name_brings_back_the_session_that_has_it(faulty: Adapter, http: httpx.AsyncClient):
    first = await session_of(faulty, http, "one")
    assert await session_of(faulty, http, "one") == first
    assert await session_of(faulty, http, "two") != first
    assert await session_of(faulty, http, "one", "bob") != first
    unnamed = await opened(faulty, http, "x")
    assert unnamed.headers["mcp-session-id"] != first


async def test_a_session_is_made_once_for_all_who_name_it_at_once(faulty: Adapter, http: httpx.AsyncClient):
    found: list[str] = []

    async def name() -> None:
        found.append(await session_of(faulty, http, "three"))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(name)
    assert len(found) == 8
    assert len(set(found)) == 1


async def test_the_name_of_an_ended_session_begins_another(faulty: Adapter, http: httpx.AsyncClient):
    first = await session_of(faulty, http, "four")
    headers = {"mcp-session-id": first, "catwalk-principal": "ada", "mcp-protocol-version": "2025-11-25"}
    assert (await http.delete(faulty.url, headers=headers)).status_code == 200
    assert await session_of(faulty, http, "four") != first

"""Every page of a large fleet stays small. How fast they are is told by `tests.bench.pages`."""

import httpx

from reconciler.loop.store import open_store
from tests.bench import pages

SERVERS = 1000
PASSES = 2


async def test_no_page_of_a_thousand_servers_is_larger_than_100_kb(tmp_path):
    store = await open_store(tmp_path, pages.Clock())
    await pages.fill(store, servers=SERVERS, passes=PASSES, lines=1_000)
    transport = httpx.ASGITransport(app=await pages.application(store, SERVERS))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answers = {path: await client.get(path) for path in pages.pages(PASSES)}
    store.close()
    assert {path for path, answer in answers.items() if answer.status_code != 200} == {"/servers/nobody"}
    assert {
        path: len(answer.content) for path, answer in answers.items() if len(answer.content) > pages.LIMIT_BYTES
    } == {}

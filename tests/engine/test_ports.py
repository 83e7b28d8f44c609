"""The engine's doors."""

import asyncio
import socket

import pytest

from reconciler.engine.ports import listen
from reconciler.errors import EnvironmentFault


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_no_part_of_an_answer_waits_for_the_acknowledgement_of_another(host):
    accepted = asyncio.get_running_loop().create_future()
    with listen(host, 0, "a test") as listener:

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(serve, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            assert await accepted != 0
            writer.close()


def test_a_port_that_is_taken_is_named_with_its_purpose():
    with listen("127.0.0.1", 0, "a test") as taken:
        taken.listen()
        with pytest.raises(EnvironmentFault) as told:
            listen("127.0.0.1", taken.getsockname()[1], "the Machines API")
    assert told.value.problem.code == "port-in-use"
    assert "the Machines API" in told.value.problem.message

"""One health check against a loopback port, the way the platform does it: TCP connects, HTTP wants a 2xx.

The answer's text is what an operator reads first when a machine is not well, so it is the body that the machine sent
(cut), or the plain words for why there was none.
"""

import asyncio

import h11

from reconciler.engine.records import CheckStatus
from reconciler.engine.runtime import Probe, ProbeAnswer, ProbeKind

OUTPUT_LIMIT = 2048
"""Bytes of a body that are kept."""
READ_SIZE = 4096


async def probe(host: str, port: int, wanted: Probe) -> ProbeAnswer:
    """Never raises for a machine that is unwell: that is an answer."""
    try:
        async with asyncio.timeout(wanted.timeout_s):
            return await _ask(host, port, wanted)
    except TimeoutError:
        return _critical(f"no answer within {wanted.timeout_s:g} s")
    except ConnectionRefusedError:
        return _critical("connect: connection refused")
    except OSError as error:
        return _critical(f"connect: {error.strerror or error}")
    except h11.RemoteProtocolError as error:
        return _critical(f"the answer is no HTTP: {error}")


async def _ask(host: str, port: int, wanted: Probe) -> ProbeAnswer:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        if wanted.kind is ProbeKind.TCP:
            return ProbeAnswer(status=CheckStatus.PASSING, output="Success")
        return await _ask_http(reader, writer, wanted)
    finally:
        writer.close()


async def _ask_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wanted: Probe) -> ProbeAnswer:
    connection = h11.Connection(h11.CLIENT)
    host = [] if any(name.lower() == "host" for name, _ in wanted.headers) else [("Host", "localhost")]
    headers = [*host, ("Connection", "close"), *wanted.headers]
    request = h11.Request(method=wanted.method, target=wanted.path, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    return await _read_answer(connection, reader)


async def _read_answer(connection: h11.Connection, reader: asyncio.StreamReader) -> ProbeAnswer:
    status, body = 0, b""
    while len(body) < OUTPUT_LIMIT:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_SIZE))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    text = body[:OUTPUT_LIMIT].decode("utf-8", "replace")
    verdict = CheckStatus.PASSING if 200 <= status < 300 else CheckStatus.CRITICAL
    return ProbeAnswer(status=verdict, output=text or f"HTTP {status}")


def _critical(output: str) -> ProbeAnswer:
    return ProbeAnswer(status=CheckStatus.CRITICAL, output=output)

"""The fastest MCP server that Python can be: one tool, `echo`, over stdio or as Streamable HTTP (legacy wire).

    python -m tests.bench.echo_server                 stdio
    python -m tests.bench.echo_server --port PORT     http://127.0.0.1:PORT/mcp

What stands in front of it is to be measured, so that a call of the tool is answered by cutting bytes; other methods
are read as JSON. Over HTTP every session has an id, and none is kept.
"""

import argparse
import asyncio
import json
import os
import sys

import uvloop

CALL = b'"method":"tools/call"'
TOOL = {
    "name": "echo",
    "description": "Says what it is told.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}
RESULTS = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "echo", "version": "1.0.0"},
    },
    "tools/list": {"tools": [TOOL]},
    "resources/list": {"resources": []},
    "resources/templates/list": {"resourceTemplates": []},
    "prompts/list": {"prompts": []},
    "ping": {},
}
STEPS = b'"steps":'


def answer(message: bytes) -> bytes:
    """The answer to one message, empty for a notification. `"steps":N` in a call asks for N notices before it."""
    if CALL in message or b'"method": "tools/call"' in message:
        return called(message)
    read = json.loads(message)
    if "id" not in read:
        return b""
    if read["method"] == "tools/call":
        return called(message)
    result = RESULTS.get(read["method"])
    body = {"result": result} if result is not None else {"error": {"code": -32601, "message": "Method not found"}}
    return json.dumps({"jsonrpc": "2.0", "id": read["id"], **body}, separators=(",", ":")).encode()


def called(message: bytes) -> bytes:
    identifier = value_of(message, b'"id":')
    text = b'{"jsonrpc":"2.0","id":%b,"result":{"content":[{"type":"text","text":"hello"}]}}' % identifier
    steps = int(value_of(message, STEPS) or 0)
    if not steps:
        return text
    token = value_of(message, b'"progressToken":')
    notice = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%b,"progress":%d}}'
    return b"\n".join([*(notice % (token, step) for step in range(1, steps + 1)), text])


def value_of(message: bytes, key: bytes) -> bytes:
    """A number or a text without escapes behind a key that occurs once; empty where there is none."""
    _, found, rest = message.partition(key)
    if not found:
        return b""
    rest = rest.lstrip()
    if rest.startswith(b'"'):
        return rest[: rest.index(b'"', 1) + 1]
    ends = [place for place in (rest.find(b","), rest.find(b"}")) if place >= 0]
    return rest[: min(ends)].strip()


def serve_stdio() -> None:
    """Read large pieces, write one for each."""
    waiting = b""
    while piece := os.read(0, 1 << 18):
        *lines, waiting = (waiting + piece).split(b"\n")
        said = [text for text in map(answer, filter(None, lines)) if text]
        if said:
            data = b"\n".join(said) + b"\n"
            while data:
                data = data[os.write(1, data) :]


class Http(asyncio.Protocol):
    """Requests with a length, one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.waiting = b""

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while True:
            head, found, rest = self.waiting.partition(b"\r\n\r\n")
            if not found:
                return
            size = int(value_of(head.lower() + b",", b"content-length:").partition(b"\r")[0] or 0)
            if len(rest) < size:
                return
            self.waiting = rest[size:]
            self.transport.write(self.response(head, rest[:size]))

    def response(self, head: bytes, body: bytes) -> bytes:
        if not head.startswith(b"POST"):
            status = b"200 OK" if head.startswith(b"DELETE") else b"405 Method Not Allowed"
            return b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status
        said = answer(body)
        if not said:
            return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
        session = b"mcp-session-id: %b\r\n" % os.urandom(8).hex().encode() if b'"initialize"' in body else b""
        if b"\n" in said:
            said = b"".join(b"data: %b\n\n" % line for line in said.split(b"\n"))
        kind = b"text/event-stream" if said.startswith(b"data") else b"application/json"
        return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            kind,
            session,
            len(said),
            said,
        )


async def serve_http(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Http, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    if port is None:
        serve_stdio()
    else:
        uvloop.run(serve_http(port))


if __name__ == "__main__":
    sys.exit(main())

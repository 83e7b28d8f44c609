"""Progress notices through gateway and adapter: `python -m tests.bench.progress --seconds 10 --connections 16`.

The processes of `soak.py`; each call asks for so many notices before its answer. Every response is taken apart: all
notices must be there, in their order, with the token of their call. The program fails where one is not.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from dataclasses import dataclass

import uvloop

from tests.bench.soak import Client, Served, opened, serving


class Streaming(Client):
    """One call at a time, whose response is an event stream in chunks."""

    def data_received(self, data: bytes) -> None:
        if self.answered is None or b"\r\n\r\n" not in (received := self.received + data):
            super().data_received(data)
            return
        if b"transfer-encoding: chunked" not in received.partition(b"\r\n\r\n")[0].lower():
            super().data_received(data)
            return
        self.received += data
        if self.received.endswith(b"\r\n0\r\n\r\n"):
            head, _, body = bytes(self.received).partition(b"\r\n\r\n")
            self.received.clear()
            waiting, self.answered = self.answered, None
            waiting.set_result((head, dechunked(body)))


def dechunked(body: bytes) -> bytes:
    pieces = list[bytes]()
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        pieces.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(pieces)


@dataclass(kw_only=True)
class Seen:
    calls: int = 0
    notices: int = 0
    wrong: int = 0


async def keep_asking(served: Served, seen: Seen, steps: int, end_s: float) -> None:
    _, client = await asyncio.get_running_loop().create_connection(Streaming, "127.0.0.1", served.port)
    session = await opened(client, served)
    number = 0
    while time.monotonic() < end_s:
        number += 1
        call = {"name": "echo", "arguments": {"steps": steps}, "_meta": {"progressToken": f"t{number}"}}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call}
        body = json.dumps(message, separators=(",", ":")).encode()
        _, stream = await client.ask(b"POST", served.path, session, body)
        told = [json.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: {")]
        params = [each["params"] for each in told[:-1]]
        wanted = [{"progressToken": f"t{number}", "progress": step} for step in range(1, steps + 1)]
        seen.calls += 1
        seen.notices += len(params)
        seen.wrong += params != wanted or told[-1].get("id") != number
    client.transport.close()


async def run(served: Served, options: argparse.Namespace) -> int:
    seen, began_s, cpu = Seen(), time.monotonic(), served.cpu_s()
    async with asyncio.TaskGroup() as group:
        for _ in range(options.connections):
            group.create_task(keep_asking(served, seen, options.steps, began_s + options.seconds))
    took_s = time.monotonic() - began_s
    spent = {name: (after - cpu[name]) * 1e6 / max(1, seen.notices) for name, after in served.cpu_s().items()}
    costs = ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
    print(
        f"{seen.calls:,} calls with {options.steps} notices each: {seen.notices / took_s:,.0f} notices/s, "
        f"{seen.calls * options.steps - seen.notices} lost, {seen.wrong} wrong responses; CPU us a notice: {costs}"
    )
    return seen.wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100, help="notices of one call")
    options = parser.parse_args()
    with serving() as served:
        return 1 if uvloop.run(run(served, options)) else 0


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main())

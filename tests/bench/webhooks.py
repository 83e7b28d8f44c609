"""A flood of webhooks, and what becomes of a valid push in it.

A process serves the receiver with a real SQLite store, as `catwalk serve` does. Another one sends a fixed number of
deliveries a second, at fixed times whatever comes back (an open loop): forged ones of the size of GitHub's largest
examples, valid ones about other branches, repetitions, and pull requests. Once a second a valid push goes in between.
Told are the time from sending a push until the loop is woken, the answers, and the memory of the receiver.

    python -m tests.bench.webhooks --rate 1000 --seconds 20
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import anyio
import psutil
import structlog
import uvicorn
from litestar import Litestar

from reconciler.core.secret import SecretValue
from reconciler.core.types import Trigger
from reconciler.loop.clock import SystemClock
from reconciler.loop.store import open_store
from reconciler.web.webhooks import Followed, Hooks, webhook_router

SECRET = "bench-secret"
REPOSITORY = "acme/fleet"
CONNECTIONS = 64
FORGED_BYTES = 28_000
"""Of the largest of GitHub's own examples that matter."""
KINDS = ("forged", "forged", "forged", "forged", "other branch", "repetition", "pull request")
"""In turns."""


class _Nowhere:
    """Takes the lines of the log."""

    def info(self, line: str) -> None:
        """Nobody reads it."""

    warning = error = info


async def serve(state_dir: Path, listener: socket.socket) -> None:
    """The receiver; a line for each time the loop is woken, with the time of a clock that both processes share.

    The log is made as `catwalk serve` makes it and thrown away: a full pipe stops whoever writes into it.
    """
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=lambda *_: _Nowhere())
    store = await open_store(state_dir, SystemClock())

    def wake(trigger: Trigger) -> None:
        print(f"wake {trigger} {time.monotonic()}", flush=True)

    hooks = Hooks(
        secret=SecretValue(SECRET), followed=Followed(repository=REPOSITORY, branch="main"), inbox=store, wake=wake,
        clock=SystemClock(),
    )  # fmt: skip
    app = Litestar([webhook_router(hooks)], logging_config=None)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_config=None)
    print("ready", flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


@dataclass
class Flood:
    """What was sent and what came back."""

    port: int
    answers: Counter[str] = field(default_factory=Counter[str])
    late_s: float = 0.0
    pushes: list[float] = field(default_factory=list[float])
    """When each push was to be sent."""
    answered_s: list[float] = field(default_factory=list[float])
    """How long each push waited for its answer, from when it was to be sent."""

    async def run(self, rate: float, seconds: float) -> None:
        queue: asyncio.Queue[tuple[str, bytes, float]] = asyncio.Queue()
        kinds = ["push" if one % int(rate) == 0 else KINDS[one % len(KINDS)] for one in range(int(rate * seconds))]
        ready = [request(kind, one) for one, kind in enumerate(kinds)]
        workers = [asyncio.create_task(self._work(queue)) for _ in range(CONNECTIONS)]
        began, number = time.monotonic(), 0
        while number < len(ready):
            due = min(len(ready), int((time.monotonic() - began) * rate) + 1)
            for one in range(number, due):
                queue.put_nowait((kinds[one], ready[one], began + one / rate))
            number = due
            await asyncio.sleep(0.002)
        self.late_s = await self._emptied(queue)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _emptied(self, queue: "asyncio.Queue[tuple[str, bytes, float]]") -> float:
        """How long the last ones waited after the sending time was over."""
        began = time.monotonic()
        await asyncio.wait_for(queue.join(), 30)
        return time.monotonic() - began

    async def _work(self, queue: "asyncio.Queue[tuple[str, bytes, float]]") -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            kind, content, due = await queue.get()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self.port)
                code, closes = await exchange(streams, content)
                if closes:
                    streams[1].close()
                    streams = None
            except (OSError, asyncio.IncompleteReadError):
                code, streams = "cut", None
            self.answers[f"{kind} {code}"] += 1
            if kind == "push":
                self.pushes.append(due)
                self.answered_s.append(time.monotonic() - due)
            queue.task_done()


async def exchange(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], content: bytes) -> tuple[str, bool]:
    """One request on a connection: the status code, and whether the connection is over."""
    reader, writer = streams
    writer.write(content)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
    await reader.readexactly(length)
    return head.split(" ", 2)[1], "connection: close" in head


def request(kind: str, number: int) -> bytes:
    body = json.dumps(payload(kind, number)).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    signature = "0" * 64 if kind == "forged" else digest
    event = "pull_request" if kind == "pull request" else "push"
    delivery = "the-same" if kind == "repetition" else f"{kind.replace(' ', '-')}-{number}"
    head = (
        f"POST /webhooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-GitHub-Event: {event}\r\nX-GitHub-Delivery: {delivery}\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def payload(kind: str, number: int) -> dict[str, object]:
    repository = {"full_name": REPOSITORY, "default_branch": "main"}
    if kind == "pull request":
        pull = {"head": {"sha": f"{number:040x}"}, "base": {"ref": "main"}}
        return {"action": "synchronize", "number": number % 200 + 1, "pull_request": pull, "repository": repository}
    ref = "refs/heads/other" if kind == "other branch" else "refs/heads/main"
    return {"ref": ref, "repository": repository, "filling": "x" * (FORGED_BYTES if kind == "forged" else 6_000)}


def measure(rate: float, seconds: float) -> dict[str, object]:
    """One flood against one receiver."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        command = [
            sys.executable,
            "-m",
            "tests.bench.webhooks",
            "--serve",
            folder,
            "--descriptor",
            str(listener.fileno()),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[listener.fileno()]) as receiver:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == "ready\n"
            process = psutil.Process(receiver.pid)
            before, flood = process.memory_info().rss, Flood(listener.getsockname()[1])
            used_before, own_before = sum(process.cpu_times()[:2]), time.process_time()
            try:
                anyio.run(flood.run, rate, seconds, backend_options={"use_uvloop": True})
            except TimeoutError:
                receiver.kill()
                sys.exit("the receiver does not keep up: half a minute after the end deliveries still wait")
            own = time.process_time() - own_before
            after, used = process.memory_info().rss, sum(process.cpu_times()[:2]) - used_before
            receiver.terminate()
            told, _ = receiver.communicate(timeout=30)
    woken = sorted(float(line.split()[2]) for line in told.splitlines() if line.startswith("wake webhook"))
    delays = [min(at for at in woken if at >= sent) - sent for sent in flood.pushes if any(at >= sent for at in woken)]
    return {
        "rate": rate,
        "sent": sum(flood.answers.values()),
        "answers": dict(sorted(flood.answers.items())),
        "last answer after the end, s": round(flood.late_s, 2),
        "pushes": len(flood.pushes),
        "push until woken, s, p50 / p95 / most": _spread(delays),
        "push until answered, s, p50 / p95 / most": _spread(flood.answered_s),
        "memory before / after, MiB": [round(before / 2**20, 1), round(after / 2**20, 1)],
        "processor time a delivery, ms": round(used * 1000 / sum(flood.answers.values()), 2),
        "processor time of the sender for each, ms": round(own * 1000 / sum(flood.answers.values()), 2),
        "load of the machine": round(os.getloadavg()[0], 1),
    }


def _spread(values: list[float]) -> list[float]:
    cuts = quantiles(values, n=20, method="inclusive")
    return [round(value, 3) for value in (cuts[9], cuts[18], max(values))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000.0, help="deliveries a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--descriptor", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        listener = socket.socket(fileno=options.descriptor)
        anyio.run(serve, options.serve, listener, backend_options={"use_uvloop": True})
        return
    print(json.dumps(measure(options.rate, options.seconds), indent=1))


if __name__ == "__main__":
    main()

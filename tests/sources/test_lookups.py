"""Hosts of registries are looked up once for all connections, and a lost answer costs a moment."""

import socket
import threading
from collections.abc import Callable

import anyio
import httpcore
import pytest

from reconciler.sources.packages import lookups
from reconciler.sources.packages.lookups import LookedUpOnce

HOST = "registry.example"
NOBODY = "::1"
"""The other address of this machine, on which nothing listens at the port of the test."""


class Resolver:
    """Counts who asks; `answers` is called with the number of the question."""

    def __init__(self, answers: Callable[[int], tuple[str, ...]]) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self.asked = 0

    def __call__(self, host: str) -> tuple[str, ...]:
        assert host == HOST
        with self._lock:
            self.asked += 1
            number = self.asked
        return self._answers(number)


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch):
    def put(answers: Callable[[int], tuple[str, ...]]) -> Resolver:
        resolver = Resolver(answers)
        monkeypatch.setattr(lookups, "_resolve", resolver)
        return resolver

    return put


async def connect(backend: LookedUpOnce, port: int, *, timeout_s: float = 5.0) -> None:
    stream = await backend.connect_tcp(HOST, port, timeout_s)
    await stream.aclose()


async def test_many_connections_look_their_host_up_once(resolve, port):
    resolver, backend = resolve(lambda _: ("127.0.0.1",)), LookedUpOnce()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(connect, backend, port)
    await connect(backend, port)
    assert resolver.asked == 1


async def test_an_answer_that_is_lost_is_asked_for_again_beside_the_first(resolve, port, monkeypatch):
    monkeypatch.setattr(lookups, "PATIENCE_S", 0.01)
    released = threading.Event()

    def answers(number: int) -> tuple[str, ...]:
        if number == 1:
            released.wait(30)
        return ("127.0.0.1",)

    resolver = resolve(answers)
    try:
        await connect(LookedUpOnce(), port)
        assert resolver.asked >= 2
    finally:
        released.set()


async def test_a_host_that_is_not_found_is_asked_for_again_by_the_next_who_comes(resolve, port):
    resolver, backend = resolve(lambda number: () if number == 1 else ("127.0.0.1",)), LookedUpOnce()
    with pytest.raises(httpcore.ConnectError, match=HOST):
        await connect(backend, port)
    await connect(backend, port)
    assert resolver.asked == 2


async def test_all_who_waited_for_a_host_that_is_not_found_share_the_answer(resolve, port):
    everybody_waits = threading.Event()

    def answers(number: int) -> tuple[str, ...]:
        everybody_waits.wait(30)
        return ()

    resolver, backend, refused = resolve(answers), LookedUpOnce(), 0

    async def fail() -> None:
        nonlocal refused
        with pytest.raises(httpcore.ConnectError):
            await connect(backend, port, timeout_s=30)
        refused += 1

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(fail)
        await anyio.wait_all_tasks_blocked()
        everybody_waits.set()
    assert (refused, resolver.asked) == (10, 1)


async def test_the_next_address_is_tried_where_one_refuses(resolve, port):
    resolve(lambda _: (NOBODY, "127.0.0.1"))
    await connect(LookedUpOnce(), port)


async def test_a_host_of_which_no_address_answers_is_unreachable(resolve, port):
    resolve(lambda _: (NOBODY, NOBODY))
    with pytest.raises(httpcore.ConnectError):
        await connect(LookedUpOnce(), port)


async def test_a_lookup_that_takes_too_long_is_told_as_such(resolve, port):
    released = threading.Event()
    resolve(lambda _: ("127.0.0.1",) if released.wait(30) else ())
    try:
        with pytest.raises(httpcore.ConnectTimeout, match=HOST):
            await connect(LookedUpOnce(), port, timeout_s=0.05)
    finally:
        released.set()

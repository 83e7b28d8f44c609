"""Parts of a connection that take no memory while nobody waits for them, and no writes that can be saved.

An `asyncio.Event` holds a queue from its first moment, which takes 700 bytes, and uvicorn makes one for each connection
and one for each request. Of thousands of idle event streams that is the largest single part.
"""

import asyncio

_INTERIM = b"HTTP/1.1 100"
"""Begins a response that another one follows."""


class LeanEvent:
    """As `asyncio.Event`, with a list that exists only while somebody waits."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        """Whether nobody has to wait."""
        return self._is_set

    def set(self) -> None:
        """Let everybody go on who waits, or will."""
        self._is_set = True
        waiters, self._waiters = self._waiters or (), None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """From now on whoever comes has to wait."""
        self._is_set = False

    async def wait(self) -> bool:
        """Return when it is set, or has been set meanwhile."""
        if not self._is_set:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            await waiter
        return True


class LeanFlow:
    """As uvicorn's `FlowControl` (`uvicorn.protocols.http.flow_control`)."""

    __slots__ = ("_is_writable", "_transport", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_writable: LeanEvent | None = None
        self.read_paused = False
        self.write_paused = False

    async def drain(self) -> None:
        """Wait until the client reads again."""
        if self._is_writable is not None:
            await self._is_writable.wait()

    def pause_reading(self) -> None:
        """Take no more of the client's bytes."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take them again."""
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The client does not read what was written."""
        if not self.write_paused:
            self.write_paused = True
            self._is_writable = LeanEvent()

    def resume_writing(self) -> None:
        """The client reads again, or has gone."""
        self.write_paused = False
        writable, self._is_writable = self._is_writable, None
        if writable is not None:
            writable.set()


class HeadFirst:
    """The transport of one response: its head, which is written first, leaves together with what follows.

    uvicorn writes the two one after the other, and each write is a packet of its own that wakes the client. Something
    always follows at once: the adapter begins no response before it has a body or an event for it.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        """Write, or keep a head for the next write."""
        if self._head is None:
            self._transport.write(data)
        elif self._head or data.startswith(_INTERIM):
            head, self._head = self._head, b"" if data.startswith(_INTERIM) else None
            self._transport.write(head + data)
        else:
            self._head = data

    def close(self) -> None:
        """Close the connection after everything that was written."""
        if self._head:
            self._transport.write(self._head)
            self._head = None
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._transport.is_closing()

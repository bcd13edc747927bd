"""Connections opened before they are needed, so that no request pays for a handshake inside its own latency."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from llm_magics.load import wire
from llm_magics.load.connection import BufferedConnection, Connection, Owner
from llm_magics.load.wire import Wire

_AT_ONCE = 64  # handshakes in flight: more overflow a server's listen queue
_CONNECT_TIMEOUT = 10.0  # s


class Pool:
    """Idle keep-alive connections to one address; last used, first out."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, owner: Owner) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.owner = owner
        self.idle: list[Connection] = []
        self.opening = 0
        self.address: tuple[int, Any] | None = None
        self.wire = Wire(asyncio.get_running_loop()) if tls is None and wire.AVAILABLE else None
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._asking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self) -> Connection | None:
        """An open connection, or None."""
        while self.idle:
            connection = self.idle.pop()
            if connection.alive:
                return connection
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self.idle.append(connection)

    async def connect(self) -> Connection:
        """A new connection.

        Raises
        ------
        OSError
            The system's words: refused, unreachable, name not known, no descriptors left.
        """
        async with self._gate:
            loop = asyncio.get_running_loop()
            async with self._asking:
                if self.address is None:
                    self.address = await self._resolve()
            family, address = self.address
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with asyncio.timeout(_CONNECT_TIMEOUT):
                    await loop.sock_connect(sock, address)
                    if self.wire is not None:
                        return Connection(self.owner, self.wire, sock)
                    kind = Connection if "uvloop" in type(loop).__module__ else BufferedConnection
                    _, connection = await loop.create_connection(
                        lambda: kind(self.owner),
                        sock=sock,
                        ssl=self.tls,
                        server_hostname=self.host if self.tls else None,
                    )
            except TimeoutError:
                sock.close()
                raise OSError(f"no connection within {_CONNECT_TIMEOUT:g} s") from None
            except BaseException:
                sock.close()
                raise
            return connection

    async def fill(self, wanted: int) -> None:
        """Open connections until `wanted` are idle; failures are left to the requests that will need them."""

        async def one() -> None:
            try:
                self.idle.append(await self.connect())
            except OSError:
                return

        await asyncio.gather(*(one() for _ in range(wanted - len(self.idle))))

    def open_soon(self, done: Callable[[Connection | None, str | None], None]) -> None:
        """Open one in the background and hand it, or the error, to `done`."""

        self.opening += 1

        async def opener() -> None:
            try:
                connection = await self.connect()
            except OSError as error:
                known = isinstance(error, ConnectionError) and error.errno
                done(None, os.strerror(error.errno) if known and error.errno else error.strerror or str(error))
            else:
                done(connection, None)
            finally:
                self.opening -= 1

        task = asyncio.get_running_loop().create_task(opener())
        self._tasks.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # a bug: a task keeps it to itself
            context = {"message": "a connection was opened in vain", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def close(self) -> None:
        """Close what is idle and stop what is being opened."""
        for task in self._tasks:
            task.cancel()
        for connection in self.idle:
            connection.close()
        self.idle.clear()
        if self.wire is not None:
            self.wire.close()

    async def _resolve(self) -> tuple[int, Any]:
        """The first of the name's addresses that accepts a connection (`localhost` may be ::1 or 127.0.0.1)."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        problem: OSError | None = None
        for family, _, _, _, address in found:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT):
                    await loop.sock_connect(sock, address)
                return family, address
            except TimeoutError:
                problem = OSError(f"no connection within {_CONNECT_TIMEOUT:g} s")
            except OSError as error:
                problem = error
            finally:
                sock.close()
        raise problem or OSError(f"{self.host} has no address")

"""Opens a connection to a permitted address of a server: resolve, connect, secure, each within its own deadline.

Cancelled or failed at any point, it leaves no socket and no task behind.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.upstream.answer import Limits
from llm_gateway.upstream.connection import Connection
from llm_gateway.upstream.guard import Guard, IPAddress, Origin

MAX_ADDRESSES = 8

Make = Callable[[], Connection]
Dialled = tuple[asyncio.Transport, Connection]


async def dial(
    guard: Guard, origin: Origin, make: Make, *, limits: Limits, left: float, tls: Callable[[], ssl.SSLContext]
) -> Connection:
    """A new connection to the origin, ready for its first request. `left`: seconds that the caller has in all.

    Raises Fault: NOT_PERMITTED, DNS, REFUSED, CONNECT_TIMEOUT, TLS, or FIRST_TOKEN_TIMEOUT when `left` is over first.
    """
    async with _within(left, FaultKind.FIRST_TOKEN_TIMEOUT):
        addresses = await guard.addresses(origin, within=limits.dns)
        async with _within(limits.connect, FaultKind.CONNECT_TIMEOUT):
            raw, connection = await _connect(addresses[:MAX_ADDRESSES], origin.port, make, limits.next_address)
        if origin.scheme == "https":
            async with _within(limits.tls, FaultKind.TLS):
                await _secure(raw, connection, tls(), origin.host)
        return connection


@asynccontextmanager
async def _within(seconds: float, late: FaultKind) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Fault(late, f"no connection within {seconds:.3g} s") from None


async def _connect(addresses: list[IPAddress], port: int, make: Make, patience: float) -> Dialled:
    """Happy eyeballs (RFC 8305 §5): the next address starts when one failed, or after `patience` beside it."""
    if len(addresses) == 1:
        return await _connect_to(addresses[0], port, make)
    waiting, failures = list(addresses), list[BaseException]()
    tasks: list[asyncio.Task[Dialled]] = []
    pending: set[asyncio.Task[Dialled]] = set()
    try:
        while waiting or pending:
            if waiting:
                address = waiting.pop(0)
                tasks.append(asyncio.create_task(_connect_to(address, port, make), name=f"dial {address}"))
                pending.add(tasks[-1])
            done, pending = await asyncio.wait(
                pending, timeout=patience if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if (failure := task.exception()) is None:
                    tasks.remove(task)
                    return task.result()
                failures.append(failure)
        raise failures[0]
    finally:
        for loser in tasks:
            loser.cancel()
            loser.add_done_callback(_hang_up)


def _hang_up(loser: asyncio.Task[Dialled]) -> None:
    if not loser.cancelled() and loser.exception() is None:
        loser.result()[0].abort()


async def _connect_to(address: IPAddress, port: int, make: Make) -> Dialled:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        return await asyncio.get_running_loop().create_connection(make, host=str(address), port=port, family=family)
    except TimeoutError as error:  # the kernel's own, ETIMEDOUT
        raise Fault(FaultKind.CONNECT_TIMEOUT, error.strerror or str(error)) from None
    except OSError as error:
        raise Fault(FaultKind.REFUSED, os.strerror(error.errno) if error.errno else str(error)) from None


async def _secure(raw: asyncio.Transport, connection: Connection, context: ssl.SSLContext, host: str) -> None:
    try:
        if raw.is_closing():
            raise ConnectionResetError("closed before the TLS handshake")
        secured = await asyncio.get_running_loop().start_tls(raw, connection, context, server_hostname=host)
        if secured is None:
            raise ConnectionResetError("closed during the TLS handshake")
    except OSError as error:  # ssl.SSLError, a bad certificate among them, is one
        raw.abort()
        raise Fault(FaultKind.TLS, str(error) or "the connection was closed during the handshake") from None
    except BaseException:
        raw.abort()
        raise
    connection.secured(secured)

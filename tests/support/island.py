"""A network without a way out, for programs that want to call home: loopback, one gateway's port, and a spy.

Every address there is the machine itself, so whoever tries to leave is refused at once, and heard.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

CLONE_NEWNET = 0x40000000
ALL_PACKETS = 3
"""ETH_P_ALL"""
UDP = 17
ERRORS = (1, 58)
"""ICMP of both kinds: how the machine refuses."""
ROUTES = ("ip link set lo up", "ip route add local default dev lo", "ip -6 route add local default dev lo")


@dataclass(slots=True)
class Island:
    command: list[str]
    """What runs a program there."""
    seen: set[str] = field(default_factory=set)
    """Who was wanted that is not this machine: addresses, and names that were asked for."""


@asynccontextmanager
async def island(port: int) -> AsyncIterator[Island | None]:
    """With 127.0.0.1:`port` of this machine at the same place in it. None where the kernel does not let us."""
    with ThreadPoolExecutor(1) as thread:  # only this thread moves there; it ends at once
        found = thread.submit(_settle, port).result()
    if found is None:
        yield None
        return
    namespace, door, spy = found
    there = Island(["nsenter", f"--net=/proc/{os.getpid()}/fd/{namespace}"])
    loop = asyncio.get_running_loop()
    loop.add_reader(spy, _listen, spy, there.seen)

    async def ferry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_carry(reader, back), _carry(to, writer))

    server = await asyncio.start_server(ferry, sock=door)
    try:
        yield there
        _listen(spy, there.seen)
    finally:
        loop.remove_reader(spy)
        server.close()
        spy.close()
        os.close(namespace)


def _settle(port: int) -> tuple[int, socket.socket, socket.socket] | None:
    """Moves the calling thread into a network of its own."""
    if not (shutil.which("ip") and shutil.which("nsenter")):
        return None
    if ctypes.CDLL(None).unshare(CLONE_NEWNET):
        return None
    for command in ROUTES:
        subprocess.run(command.split(), check=False, capture_output=True)
    door = socket.create_server(("127.0.0.1", port))
    spy = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PACKETS))
    spy.setblocking(False)
    spy.bind(("lo", 0))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY), door, spy


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _listen(spy: socket.socket, seen: set[str]) -> None:
    with suppress(BlockingIOError):
        while True:
            frame = spy.recv(65_536)
            kind, packet = frame[12:14], frame[14:]
            if kind == b"\x08\x00":
                there, inner, protocol = ip_address(packet[16:20]), packet[4 * (packet[0] & 15) :], packet[9]
            elif kind == b"\x86\xdd":
                there, inner, protocol = ip_address(packet[24:40]), packet[40:], packet[6]
            else:
                continue
            # multicast is the kernel's own talk about its interface
            if not there.is_loopback and not there.is_multicast and protocol not in ERRORS:
                seen.add(_name(inner[8:]) if protocol == UDP and inner[2:4] == struct.pack("!H", 53) else str(there))


def _name(query: bytes) -> str:
    """What a DNS query asks for."""
    labels, at = [], 12
    while at < len(query) and (size := query[at]):
        labels.append(query[at + 1 : at + 1 + size].decode("ascii", "replace"))
        at += 1 + size
    return ".".join(labels)

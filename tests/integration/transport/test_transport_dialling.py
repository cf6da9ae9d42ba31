"""How a connection comes about, or does not: addresses, refusals, silence, TLS."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from net import closed_port, hanging_port, wait_until
from scripted import ANSWER, LOOPBACK, Peer, Script, Server, ask, fault_of, get, make_transport, open_files, read_all

from llm_gateway.errors import FaultKind
from llm_gateway.upstream.connection import Connection
from llm_gateway.upstream.dial import dial
from llm_gateway.upstream.guard import Guard, IPAddress, Origin
from llm_gateway.upstream.transport import Limits, Stats, Transport

Start = Callable[[Script], Awaitable[Server]]
Client = Callable[..., Transport]


async def answering(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(ANSWER)


def resolving(*rounds: list[str]) -> Guard:
    """A guard for loopback whose resolver gives one list of addresses after the other."""
    left = list(rounds)

    async def resolve(host: str, port: int) -> list[IPAddress]:
        return [ip_address(text) for text in left.pop(0)]

    return Guard(only_networks=LOOPBACK, allow_private=LOOPBACK, resolve=resolve)


async def test_a_closed_port_refuses(client: Client) -> None:
    with closed_port() as port:
        assert await fault_of(ask(client(), Origin("http", "127.0.0.1", port))) is FaultKind.REFUSED


async def test_a_connection_that_never_comes_about_is_given_up(client: Client) -> None:
    with hanging_port() as port:
        origin = Origin("http", "127.0.0.1", port)
        assert await fault_of(ask(client(connect=0.2), origin)) is FaultKind.CONNECT_TIMEOUT
        assert await fault_of(ask(client(connect=5), origin, within=0.2)) is FaultKind.FIRST_TOKEN_TIMEOUT


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_that_is_not_permitted_is_never_connected_to(start: Start, host: str) -> None:
    canary = await start(answering)
    for guard in (Guard(), Guard(allow_private=["10.0.0.0/8"]), Guard(only_networks=["127.0.0.0/8"])):
        transport = make_transport(guard=guard)
        assert await fault_of(ask(transport, Origin("http", host, canary.port))) is FaultKind.NOT_PERMITTED
    assert canary.connections == 0


async def test_a_name_without_address_is_a_dns_fault(client: Client) -> None:
    assert await fault_of(ask(client(), Origin("http", "no-such-host.invalid", 80))) is FaultKind.DNS


async def test_a_name_is_resolved_and_judged_anew_for_every_connection(start: Start) -> None:
    canary = await start(answering)
    transport = make_transport(guard=resolving(["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"]))
    origin = Origin("http", "llm.example", canary.port)
    first = await ask(transport, origin)
    assert await fault_of(ask(transport, origin)) is FaultKind.NOT_PERMITTED
    assert await read_all(first) == b"hi"
    assert await get(transport, origin) == b"hi"  # kept: no new connection, no new look-up
    await transport.aclose()
    assert canary.connections == 1


async def test_the_next_address_is_tried_when_one_refuses(start: Start) -> None:
    server = await start(answering)
    transport = make_transport(guard=resolving(["127.0.0.2", "127.0.0.3", "127.0.0.1"]))
    assert await get(transport, Origin("http", "llm.example", server.port)) == b"hi"
    assert transport.stats().open == 1
    await transport.aclose()


@contextmanager
def hanging_at(host: str, port: int) -> Iterator[None]:
    with ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind((host, port))
        door.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield


async def test_the_next_address_is_tried_beside_one_that_hangs(start: Start) -> None:
    server = await start(answering)
    with hanging_at("127.0.0.2", server.port):
        transport = make_transport(
            Limits(next_address=0.05, connect=5), resolving(["127.0.0.2", "127.0.0.1"], ["127.0.0.2", "127.0.0.2"])
        )
        response = await ask(transport, Origin("http", "llm.example", server.port), within=3)
        assert await read_all(response) == b"hi"
        await wait_until(lambda: not [t for t in asyncio.all_tasks() if t.get_name().startswith("dial")])
        await transport.aclose()


async def test_of_two_connections_at_once_one_is_hung_up(start: Start) -> None:
    server = await start(Peer.gone)

    def busy() -> Connection:
        time.sleep(0.01)  # a busy loop finds both connections made when it looks again
        return Connection(limits, time.monotonic, lambda gone: None, origin)

    async with Server(Peer.gone, host="127.0.0.2", port=server.port):
        both, limits = ["127.0.0.1", "127.0.0.2"], Limits(next_address=0.001)
        guard, origin = resolving(*[both] * 41), Origin("http", "llm.example", server.port)
        files = 0
        for _ in range(41):
            connection = await dial(guard, origin, busy, limits=limits, left=5, tls=ssl.create_default_context)
            connection.abort()
            files = files or await settled(open_files)
        await wait_until(lambda: open_files() <= files)


async def settled(count: Callable[[], int]) -> int:
    """The count once it stays the same for a while."""
    value, before = count(), -1
    while value != before:
        await asyncio.sleep(0.05)
        value, before = count(), value
    return value


async def test_all_addresses_together_have_one_limit() -> None:
    with closed_port() as port, hanging_at("127.0.0.2", port), hanging_at("127.0.0.3", port):
        guard = resolving(["127.0.0.2", "127.0.0.3"], ["127.0.0.4", "127.0.0.5"])
        transport, origin = (
            make_transport(Limits(connect=0.3, next_address=0.05), guard),
            Origin("http", "x.example", port),
        )
        assert await fault_of(ask(transport, origin)) is FaultKind.CONNECT_TIMEOUT
        assert await fault_of(ask(transport, origin)) is FaultKind.REFUSED
        assert transport.stats() == Stats(0, 0, 0)


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key, for localhost and 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is needed to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, pem = folder / "key.pem", folder / "both.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = shlex.split("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test")
    subprocess.run([*command, "-addext", names, "-keyout", key, "-out", pem], capture_output=True, check=True)
    pem.write_bytes(pem.read_bytes() + key.read_bytes())
    return pem


def https(script: Script, certificate: Path) -> Server:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return Server(script, tls=context)


async def test_a_certificate_that_nobody_vouches_for_is_refused(client: Client, certificate: Path) -> None:
    async with https(answering, certificate) as server:
        transport = client()
        assert await fault_of(ask(transport, server.origin)) is FaultKind.TLS
        assert transport.stats() == Stats(0, 0, 0)


async def test_a_certificate_of_another_name_is_refused(
    client: Client, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with https(answering, certificate) as server:
        transport = make_transport(guard=resolving(["127.0.0.1"]))
        assert await fault_of(ask(transport, Origin("https", "other.example", server.port))) is FaultKind.TLS


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_trusted_certificate_is_spoken_to_and_kept(
    client: Client, certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with https(answering, certificate) as server:
        transport, origin = client(), Origin("https", host, server.port)
        assert [await get(transport, origin, b"x" * 300_000) for _ in range(3)] == [b"hi"] * 3
        assert (server.connections, transport.stats()) == (1, Stats(1, 1, 0))


@pytest.mark.parametrize(
    ("raw", "end", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhi", "close", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "close", FaultKind.CUT),
        (b"HTTP/1.1 20", "close", FaultKind.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nhi", "hold", FaultKind.ENCODED),
    ],
)
async def test_faults_are_the_same_inside_tls(
    client: Client, certificate: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes, end: str, kind: FaultKind | None
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(raw)
        if end == "hold":
            await peer.gone()

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with https(script, certificate) as server:
        transport = client()
        assert await fault_of(get(transport, server.origin)) is kind
        await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


async def test_a_server_that_reads_nothing_inside_tls_is_given_up(
    client: Client, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with https(Peer.hold, certificate) as server:
        transport = client(write=0.4)
        assert await fault_of(ask(transport, server.origin, b"x" * 30_000_000)) is FaultKind.WRITE_TIMEOUT
        await wait_until(lambda: transport.stats() == Stats(0, 0, 0))


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 20, b""])
async def test_a_port_that_does_not_speak_tls_is_a_tls_fault(start: Start, client: Client, banner: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(banner)

    server, transport = await start(script), client()
    assert await fault_of(ask(transport, Origin("https", "127.0.0.1", server.port))) is FaultKind.TLS
    assert transport.stats() == Stats(0, 0, 0)


async def test_a_handshake_that_hangs_is_given_up(start: Start, client: Client) -> None:
    server, transport = await start(Peer.hold), client(tls=0.2)
    assert await fault_of(ask(transport, Origin("https", "127.0.0.1", server.port))) is FaultKind.TLS
    assert transport.stats() == Stats(0, 0, 0)

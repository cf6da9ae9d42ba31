"""The whole gateway in the test's own event loop: a real config file, database and sockets, nothing replaced.

async with gateway(tmp_path, rogue_a, rogue_b) as live:
    answer = await live.chat()                  # POST /v1/chat with the project's key
    told = await live.stream("/v1/chat/stream")
    rows = await live.rows(2)                   # of the request log, as soon as there are two

`support.served` runs it as a process of its own, as users do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llm_gateway.assemble import assemble
from llm_gateway.config.load import load
from llm_gateway.fleet.facts import FirstToken
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.rest import Rest
from llm_gateway.fleet.server import ServerState
from llm_gateway.fleet.waits import Samples, Waits
from llm_gateway.gateway import Gateway
from llm_gateway.running import Running
from llm_gateway.storage import requests
from llm_gateway.storage.requests import RequestFilters
from llm_gateway.testing.rogue import Rogue
from llm_gateway.testing.scene import recital
from llm_gateway.web.app import App, create_app
from llm_gateway.web.protocol import BoundedProtocol, of_one_server
from llm_gateway.web.straight import straight_protocol
from support.net import wait_until
from support.served import KEY, LOOPBACK, project
from support.sse import Told, told

HELLO = [{"role": "user", "content": "Hello"}]
MODEL = "recite"
"""What a Rogue holds unless told otherwise."""
ADMIN_TOKEN = "an-admin-token-for-tests"
PATIENCE = 15.0
"""Seconds that a start, a first look at the fleet or a row may take on a machine with other work to do."""

Way = Literal["straight", "bounded", "plain"]
"""How requests reach the application: on the connection itself; as ASGI messages, through our bounds; as ASGI messages
of a plain `uvicorn llm_gateway.main:app`."""
BOTH_WAYS = pytest.mark.parametrize("start", ["straight", "plain"], indirect=True)
"""For promises that hold under any server."""
WITH_AND_WITHOUT_ASGI = pytest.mark.parametrize("start", ["straight", "bounded"], indirect=True)
"""For promises that our protocol keeps."""
Asked = Rogue | Mapping[str, Any]
"""A server of the config file: a Rogue (own, kind ollama), or the entry itself."""


def entry(rogue: Rogue, *, trust: str = "own", kind: str = "ollama", **fields: Any) -> dict[str, Any]:
    """A Rogue as an entry of the config file."""
    url = rogue.openai_url if kind == "openai" else rogue.url
    return {"name": f"{kind}-{rogue.port}", "url": url, "kind": kind, "trust": trust, **fields}


def words(count: int = 10, prefix: str = "w") -> str:
    """What a Rogue says."""
    return "".join(recital(count, prefix))


@dataclass(frozen=True, slots=True)
class Live:
    """A running gateway and a client that has its project's key."""

    app: App
    base_url: str
    http: httpx.AsyncClient
    project: str

    @property
    def running(self) -> Running:
        assert self.app.running is not None
        return self.app.running

    @property
    def gateway(self) -> Gateway:
        return self.running.gateway

    @property
    def fleet(self) -> Fleet:
        return self.gateway.fleet

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    @property
    def in_flight(self) -> int:
        """Attempts that servers work on now."""
        return sum(server.in_flight for server in self.fleet.servers.values())

    def state(self, rogue: Rogue) -> ServerState:
        """What the fleet believes about it."""
        return next(s for s in self.fleet.servers.values() if s.spec.url in (rogue.url, rogue.openai_url))

    def prefer(self, first: Rogue, model: str = MODEL) -> None:
        """Makes it the first to be asked: the others were seen to take three seconds to their first word, it none."""
        for server in self.fleet.servers.values():
            wait = 0.01 if server is self.state(first) else 3.0
            self.fleet.apply(FirstToken(server.spec.id, model, self.gateway.clock.now(), wait))

    def rank(self, *servers: Rogue) -> None:
        """The order in which they are asked, whatever they did before: each was seen to take three seconds more to its
        first word than the one before."""
        for place, server in enumerate(servers):
            state = self.state(server)
            for model in state.models.values():
                model.warm_waits, model.cold_waits = Waits(), Samples()
                model.good = model.results = 0.0
                model.rate = None
                model.tokens_per_second = None
            self.fleet.apply(FirstToken(state.spec.id, MODEL, self.gateway.clock.now(), 0.01 + 3.0 * place))

    def forgive(self, *servers: Rogue) -> None:
        """Ends their rests, and forgets what they were for."""
        for server in servers:
            state = self.state(server)
            state.rest = Rest()
            for model in state.models.values():
                model.rest = Rest()

    async def chat(
        self, path: str = "/v1/chat", headers: Mapping[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        """A whole answer; `body` over a plain greeting."""
        return await self.http.post(path, json={"model": MODEL, "messages": HELLO, **body}, headers=headers)

    async def stream(
        self, path: str = "/v1/chat/stream", headers: Mapping[str, str] | None = None, **body: Any
    ) -> Told:
        if path == "/v1/chat/completions":
            body.setdefault("stream", True)
        return told(await self.chat(path, headers, **body))

    async def rows(self, count: int, within: float = PATIENCE, **filters: Any) -> list[dict[str, Any]]:
        """The request log in the order of admission, once it holds `count` rows. Raises TimeoutError."""
        found: list[dict[str, Any]] = []

        async def read() -> bool:
            found[:] = [row async for row in requests.export(self.running.sessions, RequestFilters(**filters))]
            return len(found) >= count

        with contextlib.suppress(TimeoutError):
            await wait_until(read, within, every=0.05)
        assert len(found) == count, f"{len(found)} rows instead of {count}"
        return found

    async def row(self, **filters: Any) -> dict[str, Any]:
        """The only row."""
        return (await self.rows(1, **filters))[0]

    def admin(self) -> dict[str, str]:
        """Headers of the administrator."""
        return {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@asynccontextmanager
async def gateway(
    folder: Path,
    *servers: Asked,
    models: Sequence[Mapping[str, Any]] = (),
    projects: Sequence[Mapping[str, Any]] | None = None,
    database_url: str | None = None,
    environ: Mapping[str, str] | None = None,
    wait_for_fleet: bool = True,
    timeout: float = 30.0,
    way: Way = "straight",
    idle: float = 5.0,
    **settings: Any,
) -> AsyncIterator[Live]:
    """Serves until the block ends. `settings` are top-level entries of the config file; `projects` replace the only
    one (whose fields `project={…}` among the settings changes). A connection may be `idle` for so many seconds. Returns
    with every server looked at once."""
    fields = settings.pop("project", {})
    entries = [entry(s) if isinstance(s, Rogue) else dict(s) for s in servers]
    content = project(servers=entries, **fields)
    if projects is not None:
        content["projects"] = list(projects)
    content |= {"models": list(models), "admin_token": ADMIN_TOKEN, **settings}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(content))  # JSON is YAML
    variables = {"LLM_TEST_KEY": KEY, "LLM_GATEWAY_ONLY_NETWORKS": LOOPBACK, "HOME": str(folder), **(environ or {})}
    if database_url is not None:
        variables["LLM_GATEWAY_DATABASE_URL"] = database_url
    loaded = load({"data_dir": str(folder / "data")}, environ=variables, cwd=folder, config=file)

    app = create_app(lambda: assemble(loaded))
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(app, loaded.settings.trusted_proxies, way, idle))
        headers = {"X-API-Key": KEY}
        limits = httpx.Limits(max_connections=None)
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout, limits=limits, trust_env=False)
        live = Live(app, url, await stack.enter_async_context(client), content["projects"][0]["name"])
        if wait_for_fleet:
            await live_fleet(live)
        yield live


async def live_fleet(live: Live) -> None:
    """Until every server has been looked at."""
    await wait_until(
        lambda: all(s.listed_at is not None or s.probe_rest.faults for s in live.fleet.servers.values()), PATIENCE
    )


class Wire:
    """One keep-alive connection to the gateway, byte by byte: cheaper than an HTTP client by far, and it can leave in
    the middle of anything."""

    def __init__(self, live: Live, key: str = KEY) -> None:
        self._port, self._key = live.port, key
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    async def send(self, path: str = "/v1/chat", **body: Any) -> None:
        """Sends one whole request."""
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        payload = json.dumps({"model": MODEL, "messages": HELLO, **body}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nX-API-Key: {self._key}\r\nContent-Length: {len(payload)}\r\n\r\n"
        self._writer.write(head.encode() + payload)

    async def ask(self, path: str = "/v1/chat", **body: Any) -> httpx.Response:
        """Sends one request and reads its answer."""
        await self.send(path, **body)
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = httpx.Headers([tuple(line.split(": ", 1)) for line in lines])
        content = b""
        if "content-length" in headers:
            content = await self._reader.readexactly(int(headers["content-length"]))
        else:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                content += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readexactly(2)
        if headers.get("connection") == "close":
            self.leave()
        headers.pop("transfer-encoding", None)  # undone here
        return httpx.Response(int(first.split(" ")[1]), headers=headers, content=content)

    def leave(self, *, reset: bool = False) -> None:
        """Hangs up, with a reset or in peace."""
        if self._writer is not None:
            if reset:
                self._writer.transport.abort()
            else:
                self._writer.close()


class _Server(uvicorn.Server):
    """uvicorn's, without its hands on the signals of the test run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Ends as soon as it is asked to, not up to a tenth of a second later; so does `shutdown`."""
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await wait_until(lambda: not self.server_state.connections and not self.server_state.tasks, PATIENCE)
        await self.lifespan.shutdown()


@asynccontextmanager
async def serving(
    app: App, trusted_proxies: Sequence[str] = (), way: Way = "straight", idle: float = 5.0
) -> AsyncIterator[str]:
    """Serves `app`, as `llm-gateway serve` does where no other way is asked for, on a free loopback port. Gives its
    address."""
    protocol = {
        "straight": straight_protocol(trusted_proxies),
        "bounded": of_one_server(BoundedProtocol, trusted_proxies),
        "plain": HttpToolsProtocol,
    }[way]
    # asyncio turns Nagle's algorithm off only where the protocol is said to be TCP, as `getaddrinfo` does
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, http=protocol, ws="none", lifespan="on", log_config=None, access_log=False,
            proxy_headers=False, timeout_keep_alive=idle,
        )  # fmt: skip
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]), name="uvicorn")
        try:
            await wait_until(lambda: server.started or task.done(), PATIENCE)
            if task.done():
                await task
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


StartGateway = Callable[..., Awaitable[Live]]


@pytest.fixture
async def start(tmp_path: Path, migrated_sqlite: Path, request: pytest.FixtureRequest) -> AsyncIterator[StartGateway]:
    """Starts gateways (arguments: those of `gateway` but the folder); all end with the test. Its parameter is a Way."""
    way: Way = getattr(request, "param", "straight")
    async with AsyncExitStack() as stack:

        async def begin(*servers: Asked, **settings: Any) -> Live:
            folder = tmp_path / f"gateway-{secrets.token_hex(3)}"
            if settings.get("database_url") is None:  # migrated already: a tenth of a second less
                (folder / "data").mkdir(parents=True)
                shutil.copy(migrated_sqlite, folder / "data" / "gateway.db")
            return await stack.enter_async_context(gateway(folder, *servers, way=way, **settings))

        yield begin


def open_files() -> int:
    """Descriptors that this process holds."""
    return len(os.listdir("/proc/self/fd"))

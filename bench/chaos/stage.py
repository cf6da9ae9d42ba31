"""What the benches of this folder stand on: a process full of rogue servers, a gateway as users start it, a client.

    async with Servers([{"words": 40}, …]) as servers:             # arguments of `testing.rogue.Rogue`
        with gateway(place, servers.entries()) as served:
            async with Client(served.port) as client:
                told = await client.ask("/v1/chat/stream", question(), deadline=60.0)
                told.verdict(text)                                  # exact, lost, refused …, or what must not be

Three processes, so that no measurement is of a shared event loop, and everything on loopback. The servers recite a text
that is known word by word, which makes a verdict on every answer possible.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "bench")]

import httptools  # noqa: E402 - the path comes first
from startup import machine  # noqa: E402

from llm_gateway.testing.recital import recital  # noqa: E402
from llm_gateway.testing.rogue import Rogue  # noqa: E402
from support.served import KEY, Served, project, serve  # noqa: E402

MODEL = "recite"
NATIVE, NATIVE_STREAM, OPENAI = "/v1/chat", "/v1/chat/stream", "/v1/chat/completions"
COUNTS = ("connections", "open", "chats", "in_flight", "answered", "aborted")
WRONG = frozenset({"truncated", "corrupt", "untyped", "hung"})
"""Verdicts that no client may ever meet."""
START = 30.0
"""Seconds until every server must have been looked at."""

try:
    import uvloop
except ImportError:
    run: Callable[[Any], Any] = asyncio.run
else:
    run = uvloop.run


def text(words: int) -> str:
    """What a good server says."""
    return "".join(recital(words))


def question(stream: bool | None = None, n: int = 0, **fields: Any) -> dict[str, Any]:
    """A request's body. `n` makes conversations differ."""
    asked = {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"Recite, please. This is question {n}."}],
        **fields,
    }
    return asked if stream is None else {**asked, "stream": stream}


def mixed(number: int) -> tuple[str, dict[str, Any]]:
    """Path and body of one of many requests: half of them stream, half of each kind speak the native API and half
    OpenAI's."""
    path = (NATIVE, NATIVE_STREAM, OPENAI, OPENAI)[number % 4]
    return path, question(number % 4 == 2 if path == OPENAI else None, number)


# -- the servers ---------------------------------------------------------------------------------------------


class Servers:
    """Rogues in a process of their own. They end with the block, or with this process."""

    def __init__(self, specs: Sequence[Mapping[str, Any]]) -> None:
        self._specs = [dict(spec) for spec in specs]
        self._process: asyncio.subprocess.Process | None = None
        self.ports: list[int] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self.ports = await self._tell(self._specs)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def set(self, changes: Mapping[int, Mapping[str, Any]]) -> None:
        """From now on: per server its `mood` or `mix`, or fields of its manner."""
        await self._tell({"set": {str(n): dict(change) for n, change in changes.items()}})

    async def counts(self) -> list[dict[str, int]]:
        """Per server: `COUNTS`."""
        return await self._tell({"counts": True})

    async def total(self, name: str) -> int:
        return sum(counts[name] for counts in await self.counts())

    def entries(self, **fields: Any) -> list[dict[str, Any]]:
        """As the config file names them."""
        return [
            {"name": f"s{n:02}", "url": f"http://127.0.0.1:{port}", "kind": "ollama", "trust": "own", **fields}
            for n, port in enumerate(self.ports)
        ]

    async def _tell(self, order: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process of the servers has ended")
        return json.loads(answer)


async def _serve_rogues() -> None:
    """The other side of `Servers`: one order a line, one answer a line."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    rogues = [Rogue(remember=0, **spec) for spec in json.loads(await orders.readline())]
    for rogue in rogues:
        await rogue.__aenter__()
    answer: Any = [rogue.port for rogue in rogues]
    while True:
        print(json.dumps(answer), flush=True)
        line = await orders.readline()
        if not line:
            os._exit(0)  # nobody is there to be told how they ended
        order = json.loads(line)
        for n, change in order.get("set", {}).items():
            rogue = rogues[int(n)]
            for name, value in change.items():
                setattr(rogue if name in ("mood", "mix", "models") else rogue.manner, name, value)
        answer = [{name: getattr(rogue, name) for name in COUNTS} for rogue in rogues]


# -- the gateway ---------------------------------------------------------------------------------------------


@contextmanager
def gateway(place: Path, entries: list[dict[str, Any]], **settings: Any) -> Iterator[Served]:
    """`llm-gateway serve` over these servers, of one project unless `projects` are given (their keys: `key_of`)."""
    config = project(servers=entries)
    config |= {"log_level": "warning", **settings}
    names = [each["name"] for each in config["projects"]]
    for each in config["projects"]:
        each["keys"] = [{"name": "bench", "value_env": f"BENCH_KEY_{each['name'].upper()}"}]
    environ = {f"BENCH_KEY_{name.upper()}": key_of(name) for name in names}
    with serve(place, config=config, PYTHONPATH=str(ROOT / "src"), **environ) as served:
        yield served


def key_of(project: str) -> str:
    return f"{KEY}-{project}"


async def looked_at(served: Served) -> None:
    """Until the gateway has asked every server for its models once."""
    until = time.monotonic() + START
    async with Client(served.port) as client:
        while time.monotonic() < until:
            health = json.loads((await client.get("/v1/health")).body)
            if not health["servers"].get("unknown"):
                return
            await asyncio.sleep(0.05)
    raise TimeoutError(f"not every server was looked at within {START} s: {health}")


async def metrics(served: Served) -> dict[str, float]:
    """`name{labels}` -> value, of `GET /metrics`."""
    async with Client(served.port, key=served.admin_token) as client:
        lines = (await client.get("/metrics")).body.decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def labelled(figures: Mapping[str, float], name: str, label: str) -> dict[str, int]:
    """Of a metric: its sums by one label's values, without those that are 0."""
    found = Counter[str]()
    for key, value in figures.items():
        if key.startswith(name + "{") and value:
            found[key.partition(f'{label}="')[2].partition('"')[0]] += int(value)
    return dict(found.most_common())


# -- the client ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Told:
    """One answer as it came over the wire."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    """Did HTTP say that this was all?"""
    hung: bool = False
    """Was it given up at the client's own deadline?"""
    first: float | None = None
    """Seconds to the first word of the text."""
    seconds: float = 0.0

    @property
    def streams(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def attempts(self) -> int | None:
        said = self.headers.get("x-gateway-attempts")
        return int(said) if said else None

    def verdict(self, expected: str) -> str:
        """`exact`; `lost` = a good begin, then the error event; `refused CODE` = a typed error instead of an answer;
        or one of `WRONG`: `truncated` (sold as whole), `corrupt`, `untyped` (broken off without a word), `hung`."""
        if self.hung:
            return "hung"
        if self.status != 200:
            return f"refused {self._code()}" if self.whole and self._code() else "untyped"
        if not self.whole:
            return "untyped"
        said, end = self._streamed() if self.streams else self._said()
        if not expected.startswith(said):
            return "corrupt"
        if end == "stop":
            return "exact" if said == expected else "truncated"
        return "lost" if end == "upstream_stream_lost" else "truncated" if end is None else f"lost {end}"

    def _code(self) -> str | None:
        try:
            return str(json.loads(self.body)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return None

    def _said(self) -> tuple[str, str | None]:
        choice = json.loads(self.body)["choices"][0]
        return choice["message"]["content"], choice["finish_reason"]

    def _streamed(self) -> tuple[str, str | None]:
        """The text, and how it ended: the finish reason of a finished answer, the code of the error, None = neither."""
        said, finish, done = [], None, False
        for event in self.body.decode().split("\n\n"):
            data = event.partition("data: ")[2]
            if not data:
                continue
            if data == "[DONE]":
                done = True
                continue
            chunk = json.loads(data)
            if "error" in chunk:
                return "".join(said), chunk["error"]["code"]
            for choice in chunk["choices"]:
                said.append(choice["delta"].get("content") or "")
                finish = choice["finish_reason"] or finish
        return "".join(said), finish if done else None


class Client:
    """One client with one connection at a time, as a load generator that is not to be the bottleneck needs it."""

    def __init__(self, port: int, key: str = key_of("tests")) -> None:
        self._port, self._key = port, key
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    async def get(self, path: str) -> Told:
        await self._send("GET", path, b"")
        return await self._read(time.perf_counter(), START)

    async def ask(self, path: str, body: Mapping[str, Any], *, deadline: float) -> Told:
        """One request and its whole answer, given up after `deadline` seconds."""
        payload = json.dumps(body).encode()
        began = time.perf_counter()
        await self._send("POST", path, payload)
        told = await self._read(began, deadline)
        if not told.whole or told.headers.get("connection") == "close":
            self.leave()
        return told

    async def begin(self, path: str, body: Mapping[str, Any]) -> asyncio.StreamReader:
        """Sends one request; whoever reads the answer from here, or not, has to `leave` afterwards."""
        await self._send("POST", path, json.dumps(body).encode())
        assert self._reader is not None
        return self._reader

    def leave(self, *, gently: bool = False) -> None:
        """Hangs up, with a reset or in peace."""
        if self._writer is not None:
            if gently:
                self._writer.close()
            else:
                sock = self._writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._writer.transport.abort()
        self._reader = self._writer = None

    async def connect(self) -> None:
        if self._reader is not None and self._reader.at_eof():  # idle for longer than the gateway keeps a connection
            self.leave()
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    @property
    def port(self) -> int:
        """Its own, of the connection that it has."""
        assert self._writer is not None
        return int(self._writer.get_extra_info("sockname")[1])

    async def _send(self, method: str, path: str, payload: bytes) -> None:
        await self.connect()
        assert self._writer is not None
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
            + payload
        )

    async def _read(self, began: float, deadline: float) -> Told:
        told, answer = Told(), _Answer()
        parser = httptools.HttpResponseParser(answer)
        reader = self._reader
        assert reader is not None
        try:
            async with asyncio.timeout(deadline):
                while not answer.whole and (data := await reader.read(65_536)):
                    parser.feed_data(data)
                    if told.first is None and b"w000" in answer.body:
                        told.first = time.perf_counter() - began
        except TimeoutError:
            told.hung = True
        except (ConnectionError, httptools.HttpParserError):
            pass
        told.seconds = time.perf_counter() - began
        told.headers, told.body, told.whole = answer.headers, bytes(answer.body), answer.whole
        told.status = parser.get_status_code() if answer.headers else 0
        return told


class _Answer:
    """httptools' callbacks."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole = True


async def crowd(
    served: Served, requests: int, concurrency: int, ask: Callable[[Client, int], Awaitable[None]], **client: Any
) -> None:
    """`requests` times `ask(client, number)`, so many at a time."""
    left = iter(range(requests))

    async def one() -> None:
        async with Client(served.port, **client) as mine:
            for number in left:
                await ask(mine, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(one())


# -- figures -------------------------------------------------------------------------------------------------


def quantile(values: Sequence[float], share: float) -> float:
    """NaN of nothing."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))] if ranked else float("nan")


def spread(values: Sequence[float], unit: float = 1000.0, name: str = "ms") -> str:
    """Median, 99th percentile and maximum."""
    shown = " / ".join(f"{quantile(values, share) * unit:.0f}" for share in (0.5, 0.99, 1.0))
    return f"p50 / p99 / max {shown} {name}"


def counted(outcomes: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in outcomes.most_common()) or "nothing"


class Promises:
    """Compares figures with what was promised, says so, and gives the exit code."""

    def __init__(self) -> None:
        print(machine())
        print("  " + ", ".join(f"{name} {version(name)}" for name in ("httptools", "uvloop")), platform.machine())
        self.broken = 0

    def hold(self, what: str, figure: float, wanted: str, holds: bool) -> None:
        print(f"  {'ok    ' if holds else 'BROKEN'} {what}: {figure:.6g} (wanted {wanted})", flush=True)
        self.broken += not holds

    def most(self, what: str, figure: float, limit: float) -> None:
        self.hold(what, figure, f"≤ {limit:g}", figure <= limit)

    def least(self, what: str, figure: float, limit: float) -> None:
        self.hold(what, figure, f"≥ {limit:g}", figure >= limit)


if __name__ == "__main__":
    run(_serve_rogues())

"""The admin API as commands see it, wherever it is.

A server that runs on the same data directory says in `runtime.json` where it listens: it is asked over HTTP. Without
one, the gateway is assembled in this process, without probing and without traffic, and the same application answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from llm_gateway.cli.exits import Exit, Stop, of_answer
from llm_gateway.cli.frame import Where
from llm_gateway.cli.show import note

if TYPE_CHECKING:
    import httpx

    from llm_gateway.config.load import Loaded
    from llm_gateway.running import Running
    from llm_gateway.settings import Settings

RUNTIME: Final = "runtime.json"
"""File in the data directory with the real address of the server that runs on it."""
ADMIN_TOKEN: Final = "admin-token"
"""`first_run.ADMIN_TOKEN`, whose import would bring the whole storage along (a test compares them)."""
ALIVE: Final = 2.0
"""Seconds that a server has to say that it is alive."""
PATIENCE: Final = 60.0
"""Seconds without a byte of an answer."""
NO_SERVER: Final = "No server runs on the data directory {}."
START_ONE: Final = "`llm-gateway serve` starts one."


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a running server wrote down about itself."""

    url: str
    pid: int
    config: Path | None = None
    """Its config file, absolute."""
    version: str = ""
    demo: bool = False

    def write(self, data_dir: Path) -> None:
        from llm_gateway.first_run import write_private

        told = {
            "url": self.url,
            "pid": self.pid,
            "config": str(self.config) if self.config else None,
            "version": self.version,
            "demo": self.demo,
        }
        write_private(data_dir / RUNTIME, json.dumps(told) + "\n")

    @classmethod
    def read(cls, data_dir: Path) -> Runtime | None:
        """None where no live process has left such a file."""
        try:
            told = json.loads((data_dir / RUNTIME).read_text(encoding="utf-8"))
            config = Path(told["config"]) if told.get("config") else None
            pid, version = int(told["pid"]), str(told.get("version", ""))
            found = cls(str(told["url"]), pid, config, version, bool(told.get("demo")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found if _lives(found.pid) else None

    def forget(self, data_dir: Path) -> None:
        """Removes the file, unless a newer process has put its own there."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads((data_dir / RUNTIME).read_text(encoding="utf-8"))["pid"] == self.pid:
                (data_dir / RUNTIME).unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # somebody else's
        return True
    except (OSError, OverflowError):
        return False
    return True


class Api:
    """Answers are the API's JSON as Python values; errors of the API raise Stop."""

    def __init__(self, http: httpx.AsyncClient, server: Runtime | None) -> None:
        self.http = http
        self.server = server
        """None: everything happens in this process."""

    async def get(self, path: str, **query: Any) -> Any:
        return await self._call("GET", path, query=query)

    async def post(self, path: str, body: Any = None) -> Any:
        return await self._call("POST", path, body=body)

    async def patch(self, path: str, body: Any) -> Any:
        return await self._call("PATCH", path, body=body)

    async def delete(self, path: str) -> Any:
        return await self._call("DELETE", path)

    async def ref(self, collection: str, text: str) -> str:
        """How an object of `/admin/api/{collection}` is addressed by its id or name: as a path. Names may hold what
        a path cannot."""
        if text in ("", ".", "..") or "/" in text:
            for row in (await self.get(f"/admin/api/{collection}"))["data"]:
                if text in (row["id"], row["name"]):
                    return f"/admin/api/{collection}/{row['id']}"
            raise Stop(f"There is no {collection.removesuffix('s')} {text!r}.", code=Exit.NOT_FOUND)
        return f"/admin/api/{collection}/{quote(text, safe='')}"

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: dict[str, Any] | None = None, body: Any = None, key: str | None = None
    ) -> AsyncIterator[httpx.Response]:
        """An answer that is read while it arrives. `key`: as this project, not as the administrator."""
        import httpx

        request = self.http.build_request(method, path, params=_given(query), json=body)
        if key is not None:
            request.headers["authorization"] = f"Bearer {key}"
        answer = await self._send(request, stream=True)
        try:
            if answer.status_code >= 400:
                await answer.aread()
                raise of_answer(answer.status_code, _json(answer))
            yield answer
        except httpx.TransportError as error:
            raise Stop(f"The answer broke: {error or type(error).__name__}.") from error
        finally:
            await answer.aclose()

    async def _call(self, method: str, path: str, *, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        answer = await self._send(self.http.build_request(method, path, params=_given(query), json=body))
        if answer.status_code >= 300:
            raise of_answer(answer.status_code, _json(answer))
        return _json(answer)

    async def _send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        import httpx

        try:
            return await self.http.send(request, stream=stream)
        except httpx.TransportError as error:
            where = self.server.url if self.server else "The gateway in this process"
            what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "does not answer"
            raise Stop(f"{where} {what}.", "Is it still running?", code=Exit.UNAVAILABLE) from error


@asynccontextmanager
async def connect(where: Where, *, fleet: bool = False) -> AsyncIterator[Api]:
    """The admin API of the server that runs on the data directory, else of a gateway in this process.

    `fleet`: the command is about servers or models, so in this process the catalogues are read first.
    Raises ConfigMistakes, GatewayError, Stop.
    """
    loaded = where.load()
    server = await find_server(loaded)
    if server is not None:
        async with _over_http(loaded, server) as api:
            yield api
        return
    from llm_gateway.assemble import assemble
    from llm_gateway.observe import logs

    logs.setup("warning", loaded.settings.log_format)

    async with assemble(loaded, serving=False) as running:
        if fleet:
            await running.roster.sync()
        async with _in_process(running) as api:
            yield api


def only_sources(api: Api) -> None:
    """Remarks that what follows was not learnt from servers, where no gateway runs that could have."""
    if api.server is None:
        note("no gateway runs here: this is what the sources and the last lists of models say; nobody was asked.")


@asynccontextmanager
async def connect_to_server(where: Where) -> AsyncIterator[Api]:
    """For what only a running server can do. Raises Stop where none runs."""
    loaded = where.load()
    server = await find_server(loaded)
    if server is None:
        raise Stop(NO_SERVER.format(loaded.settings.data_dir), START_ONE, code=Exit.UNAVAILABLE)
    async with _over_http(loaded, server) as api:
        yield api


async def find_server(loaded: Loaded) -> Runtime | None:
    """The server that runs on the data directory, if it answers."""
    server = Runtime.read(loaded.settings.data_dir)
    if server is None:
        return None
    import httpx

    async with httpx.AsyncClient(base_url=server.url, timeout=ALIVE, trust_env=False) as http:
        try:
            alive = (await http.get("/livez")).status_code == 200
        except httpx.TransportError:
            alive = False
    if not alive:
        note(f"process {server.pid} should be serving at {server.url}, but does not answer; going on without it.")
        return None
    mine = loaded.config.resolve() if loaded.config else None
    if mine is not None and mine != server.config:
        note(f"the server at {server.url} runs with {server.config or 'no config file'}, not with {mine}.")
    return server


def admin_token(settings: Settings) -> str:
    """The token that is set, else the one that the server made."""
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    with suppress(OSError):
        return (settings.data_dir / ADMIN_TOKEN).read_text(encoding="utf-8").strip()
    return ""


@asynccontextmanager
async def _over_http(loaded: Loaded, server: Runtime) -> AsyncIterator[Api]:
    import httpx

    headers = {"authorization": f"Bearer {admin_token(loaded.settings)}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE, trust_env=False) as http:
        yield Api(http, server)


@asynccontextmanager
async def _in_process(running: Running) -> AsyncIterator[Api]:
    import httpx

    from llm_gateway.cli.inprocess import InProcess
    from llm_gateway.web.cold import create_cold_app
    from llm_gateway.web.peers import Peers

    headers = {"authorization": f"Bearer {running.admin_token}"}
    transport = InProcess(create_cold_app(running, Peers([])))
    async with httpx.AsyncClient(base_url="http://localhost", headers=headers, transport=transport) as http:
        yield Api(http, None)


def _given(query: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _json(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        return None

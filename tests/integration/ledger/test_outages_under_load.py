"""Small versions of `bench/chaos`: kills and outages under load, judged by the client's own ledger."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from support.databases import OwnServer
from support.gateway import Live, StartGateway, entry
from support.net import wait_until
from support.rogues import StartRogue
from support.served import KEY, Served, project, serve
from support.stored import contradictions, rows_of
from support.witness import Witness

BACK = 20.0
"""Seconds: ten, on a machine with other work to do."""


@pytest.mark.slow
async def test_kill_9_under_load_loses_doubles_and_mistakes_no_row(
    tmp_path: Path, rogue: StartRogue, empty_database_url: str
):
    server = await rogue(words=30, rate=60.0)
    config = project(servers=[entry(server)])
    settings = {"LLM_TEST_KEY": KEY, "LLM_GATEWAY_DATABASE_URL": empty_database_url}
    witness, port = Witness(), None
    async with witness.asking(lambda: port):
        for _ in range(3):
            with ExitStack() as life:
                served: Served = await asyncio.to_thread(
                    lambda life=life: life.enter_context(serve(tmp_path, config=config, **settings))
                )
                port = served.port
                heard = len(witness.all)
                await wait_until(lambda heard=heard: len(witness.all) >= heard + 25, 60)
                served.process.kill()
                await asyncio.to_thread(served.process.wait)
                port = None
            (tmp_path / "runtime.json").unlink()
    left = [path for path in (tmp_path / "journal").glob("*") if path.is_dir()]
    with serve(tmp_path, config=config, **settings) as served:
        await wait_until(lambda: not any(path.exists() for path in left), BACK)
        rows = await rows_of(empty_database_url, tmp_path)
        assert await contradictions(empty_database_url, tmp_path) == []
    judgement = witness.judge(rows)
    assert not judgement.wrongs, judgement
    assert judgement.seen > 30


async def settled(live: Live) -> bool:
    health = (await live.http.get("/v1/health")).json()
    return health["database"] == "ok" and health["log"] == "ok" and not health["log_rows_waiting"]


async def degraded(live: Live) -> bool:
    return (await live.http.get("/v1/health")).json()["status"] == "degraded"


@contextmanager
def frozen(server: OwnServer) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@pytest.mark.slow
@pytest.mark.parametrize("outage", ["frozen", "read-only", "failed over"])
async def test_outages_of_postgresql_that_no_client_notices(
    server_of_ours: OwnServer, start: StartGateway, rogue: StartRogue, tmp_path: Path, outage: str
):
    url = server_of_ours.create(f"outage_{os.urandom(4).hex()}")
    live = await start(await rogue(), database_url=url)
    witness = Witness(rate=10)
    async with witness.asking(lambda: live.port):
        await wait_until(lambda: len(witness.all) >= 5, 30)
        if outage == "frozen":
            with frozen(server_of_ours):
                await wait_until(lambda: degraded(live), 60)
        elif outage == "read-only":
            admin = await asyncpg.connect(url)
            await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await admin.execute("SELECT pg_reload_conf()")
            try:
                await wait_until(lambda: degraded(live), 60)
            finally:
                await admin.execute("SET default_transaction_read_only = off")
                await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
                await admin.execute("SELECT pg_reload_conf()")
                await admin.close()
        else:
            server_of_ours.fail_over()  # in this thread: the server ends with the one that starts it
        heard = len(witness.all)
        await wait_until(lambda: len(witness.all) >= heard + 5, 30)
        await wait_until(lambda: settled(live), BACK)
    await wait_until(lambda: settled(live), BACK)
    judgement = witness.judge(await rows_of(url, tmp_path))
    assert await contradictions(url, tmp_path) == []
    assert not witness.failed
    assert not judgement.wrongs, judgement


@pytest.mark.slow
async def test_a_disk_without_room_in_both_modes(tmp_path: Path, rogue: StartRogue):
    if os.geteuid() != 0:
        pytest.skip("small disks take root")
    server = await rogue()
    for mode in ("serve", "strict"):
        with small_disk(tmp_path / mode) as place:
            config = project(servers=[entry(server)]) | {"log_mode": mode}
            with serve(place, config=config, LLM_TEST_KEY=KEY) as served:
                async with httpx.AsyncClient(
                    base_url=served.url, headers={"x-api-key": KEY}, trust_env=False, timeout=30
                ) as http:
                    await full_disk(http, place, mode)


async def full_disk(http: httpx.AsyncClient, place: Path, mode: str) -> None:
    ask = {"model": "recite", "messages": [{"role": "user", "content": "hello"}]}

    async def answer() -> httpx.Response:
        return await http.post("/v1/chat/completions", json=ask)

    async def answered() -> bool:
        return (await answer()).status_code == 200

    await wait_until(answered, BACK)
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file:
        while True:
            try:
                file.write(bytes(65_536))
            except OSError:
                break
    wanted = (200, None) if mode == "serve" else (503, "log_unavailable")

    async def as_wanted() -> bool:
        told = await answer()
        code = None if told.status_code == 200 else told.json()["error"]["code"]
        return (await http.get("/v1/health")).json()["log"] == "failing" and (told.status_code, code) == wanted

    await wait_until(as_wanted, BACK)  # the last page of a file that is there already may take some more
    assert (await http.get("/v1/health")).json()["log_rows_dropped"] >= 1
    filler.unlink()
    assert await answered()
    assert (await http.get("/v1/health")).json()["log"] != "failing"


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be made here: {mounted.stderr.decode()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)

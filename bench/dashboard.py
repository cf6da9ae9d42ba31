#!/usr/bin/env python3
"""How soon every page of the dashboard can be used, over many rows and a large fleet.

    python bench/dashboard.py                       # 1 million rows, 500 servers, SQLite
    python bench/dashboard.py --rows 100000 --servers 50

The rows are those of `bench/usage.py`. The servers have addresses of this machine at which nobody listens, so the
gateway probes them all the while. A page is interactive when its heading and its figures are there (no skeleton, no
`aria-busy`), counted from the moment at which it is asked for, in a browser that has the dashboard's files already and
a session (`cold`: that has nothing yet). Each page is opened five times, the median is shown.

Exits with 1 when a page takes longer than a second. Needs Debian's chromium and a built dashboard; no network.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests/support"), str(ROOT / "bench")]

from playwright.sync_api import Browser, sync_playwright  # noqa: E402 - the path comes first
from sqlalchemy import insert, text  # noqa: E402
from startup import machine  # noqa: E402
from usage import PROJECTS, build  # noqa: E402

from llm_gateway.storage.engine import open_engine  # noqa: E402
from llm_gateway.storage.sessions import Sessions  # noqa: E402
from llm_gateway.storage.tables import project  # noqa: E402
from llm_gateway.storage.upgrade import upgrade  # noqa: E402
from support.browser import CHROMIUM, FLAGS, TOKEN, admin, signed_in, watched  # noqa: E402
from support.served import Served, serve  # noqa: E402

WANTED = 1.0
ROUNDS = 5
USABLE = """() => document.querySelector("main h1")?.offsetHeight
    && !document.querySelector("main .mantine-Skeleton-root, main [aria-busy=true]")"""
"""Its heading is there, and nothing of it is still awaited."""
PAGES = ["overview", "live", "requests", "usage", "alerts", "projects", "models", "models?tab=catalogue", "fleet"]
PAGES += ["playground", "connect", "start", "settings", "audit", "users"]


async def fill(place: Path, rows: int) -> None:
    url, now = f"sqlite+aiosqlite:///{place / 'gateway.db'}", time.time()
    await upgrade(url, place)
    engine = open_engine(url, data_dir=place, patience=600)
    sessions = Sessions(engine)
    await build(sessions, rows, now)
    named = {"description": "", "is_active": True, "trust": ["own"], "public_tools": False, "owner": "database"}
    async with sessions.write() as s:
        for number, project_id in enumerate(PROJECTS):
            await s.execute(insert(project).values(id=project_id, name=f"project-{number}", created_at=now, **named))
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("ANALYZE"))
    await engine.dispose()


def config(servers: int) -> dict[str, object]:
    return {
        "sources": {"ollamafreeapi": {"enabled": False}},
        "allow_private_upstreams": ["127.0.0.0/8"],
        "servers": [
            {
                "name": f"server-{n}",
                "url": f"http://127.9.{n // 250}.{n % 250 + 1}:11434",
                "kind": "ollama",
                "trust": "own",
            }
            for n in range(servers)
        ],
    }


def opened(browser: Browser, served: Served, page: str, *, warm: bool) -> float:
    """Seconds until the page can be used."""
    context = signed_in(browser, served)
    try:
        ui = watched(context, served)
        if warm:
            ui.open("connect" if page != "connect" else "users")
            ui.page.goto("about:blank")
        began = time.monotonic()
        ui.page.goto(f"{served.url}/admin/#/{page}", wait_until="commit")
        ui.page.wait_for_function(USABLE, polling=10)  # `expect` looks after 0.1, 0.35, 0.85, 1.85 s only
        return time.monotonic() - began
    finally:
        context.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--servers", type=int, default=500)
    wanted = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        asyncio.run(fill(place, wanted.rows))
        return measured(place, wanted.rows, wanted.servers)


def measured(place: Path, rows: int, servers: int) -> int:
    with sync_playwright() as playwright:
        print(f"{rows:,} rows, {servers} servers\n\n| page | s | cold, s |\n| --- | --- | --- |")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        late = []
        with serve(place, config=config(servers), LLM_GATEWAY_ADMIN_TOKEN=TOKEN) as served:
            admin(served, "GET", "stats")  # what answers the first cold request has been loaded
            for page in PAGES:
                took = median(opened(browser, served, page, warm=True) for _ in range(ROUNDS))
                cold = median(opened(browser, served, page, warm=False) for _ in range(3))
                print(f"| {page} | {took:.2f} | {cold:.2f} |", flush=True)
                late += [page] if took > WANTED else []
        browser.close()
    print(f"\nlater than {WANTED} s: {', '.join(late) or 'none'}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())

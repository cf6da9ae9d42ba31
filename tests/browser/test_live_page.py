"""What is in flight, ended from the page; and the feed of what has ended, which holds still when asked to."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import httpx
from beside import fleet_of
from playwright.sync_api import Browser, Locator, expect

from support.browser import Ui
from support.rogues import rogue_beside
from support.served import KEY

ENDLESS = "endless:1b"
HELLO = "llama3.2:3b"
FEW_SECONDS = 30.0


def ask(ui: Ui, model: str, key: str) -> httpx.Response:
    """A chat as one stream, read to its end."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    return httpx.post(
        f"{ui.served.url}/v1/chat/completions", json=body, headers={"X-API-Key": key}, timeout=FEW_SECONDS
    )


def table(ui: Ui, name: str) -> Locator:
    return ui.page.get_by_role("table", name=name)


def test_a_request_is_seen_while_it_runs_and_ended_from_the_page(browser: Browser, tmp_path: Path) -> None:
    with (
        rogue_beside([ENDLESS], words=5000, rate=30) as server,
        fleet_of(browser, tmp_path, endless=server) as ui,
        ThreadPoolExecutor() as pool,
    ):
        ui.open("live")
        expect(ui.page.get_by_role("status").get_by_text("Live")).to_be_visible()
        asked = pool.submit(ask, ui, ENDLESS, KEY)
        row = table(ui, "In flight").get_by_role("row").filter(has_text=ENDLESS)
        expect(row).to_contain_text("Answering")
        expect(row).to_contain_text("endless")
        row.get_by_role("button", name="Cancel").click()
        expect(ui.page.get_by_text("Cancelled: endless:1b, tests")).to_be_visible()
        assert "cancelled_by_operator" in asked.result(FEW_SECONDS).text
        expect(row).to_have_count(0)
        ended = table(ui, "Just ended").get_by_role("row").filter(has_text=ENDLESS)
        expect(ended).to_contain_text("499")
        deadline = monotonic() + FEW_SECONDS
        while not ui.api("GET", f"requests?model={ENDLESS}")["data"]:  # the feed is ahead of the log
            assert monotonic() < deadline
        ended.click()
        expect(ui.page.get_by_role("dialog", name="Request")).to_contain_text("cancelled_by_operator")
        expect(ui.page).to_have_url(re.compile(r"live\?id=[0-9a-f-]{36}"))


def test_what_has_ended_holds_still_when_paused_and_counts_what_is_new(ui: Ui) -> None:
    ui.open("live")
    ask(ui, HELLO, ui.key())
    rows = table(ui, "Just ended").get_by_role("row")
    expect(rows.filter(has_text=HELLO).first).to_be_visible()
    ui.page.get_by_role("button", name="Pause").click()
    held = rows.nth(1).inner_text()
    ask(ui, HELLO, ui.key())
    fresh = ui.page.get_by_role("button", name=re.compile(r"\d+ new request"))
    expect(fresh).to_be_visible()
    assert rows.nth(1).inner_text() == held
    fresh.click()
    ui.page.get_by_role("button", name="Go on").click()
    expect(fresh).to_have_count(0)

"""One walk through the dashboard without a mouse: from a new project to a request that is seen and ended."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from beside import fleet_of
from playwright.sync_api import Browser, Locator, expect

from support.browser import Ui
from support.rogues import rogue_beside

GOOD, ENDLESS = "good:1b", "endless:1b"
MOST_STEPS = 90


def reach(ui: Ui, wanted: Locator) -> None:
    """Tab by tab, in menus line by line, as somebody would who has no mouse."""
    step = "ArrowDown" if "menuitem" in str(wanted) else "Tab"
    expect(wanted).to_be_visible()
    for _ in range(MOST_STEPS):
        if wanted.evaluate("node => node === document.activeElement"):
            return
        ui.page.keyboard.press(step)
    raise AssertionError(f"{wanted} is not reached by {MOST_STEPS} steps")


def press(ui: Ui, wanted: Locator, key: str = "Enter") -> None:
    reach(ui, wanted)
    ui.page.keyboard.press(key)


def go(ui: Ui, letter: str, title: str) -> None:
    ui.page.evaluate("document.activeElement?.blur()")  # as Escape out of a field would
    ui.page.keyboard.press("g")
    ui.page.keyboard.press(letter)
    expect(ui.page.get_by_role("heading", level=1, name=title)).to_be_visible()


def ask(ui: Ui, model: str, key: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    headers = {"X-API-Key": key}
    return httpx.post(f"{ui.served.url}/v1/chat/completions", json=body, headers=headers, timeout=60).text


def test_everything_is_done_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    with (
        rogue_beside([GOOD]) as good,
        rogue_beside(["spare:1b"]) as spare,
        rogue_beside([ENDLESS], words=5000, rate=30) as endless,
        fleet_of(browser, tmp_path, good=good, endless=endless) as ui,
        ThreadPoolExecutor() as pool,
    ):
        page = ui.page
        ui.api("POST", "servers", json={"name": "attic", "url": spare.url, "kind": "ollama", "trust": "own"})
        ui.open("overview")
        key = a_project_and_its_key(ui)

        go(ui, "l", "Live")
        assert "[DONE]" in ask(ui, GOOD, key)
        ended = page.get_by_role("table", name="Just ended").get_by_role("row").filter(has_text=GOOD)
        expect(ended).to_be_visible()
        asked = pool.submit(ask, ui, ENDLESS, key)
        row = page.get_by_role("table", name="In flight").get_by_role("row").filter(has_text=ENDLESS)
        press(ui, row.get_by_role("button", name=re.compile("Cancel")))
        assert "cancelled_by_operator" in asked.result(60)

        go(ui, "r", "Requests")
        press(ui, page.get_by_role("row").filter(has_text=GOOD).first)
        drawer = page.get_by_role("dialog", name="Request")
        expect(drawer).to_contain_text("good")
        expect(drawer.get_by_role("list").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(drawer).to_have_count(0)

        go(ui, "f", "Fleet")
        press(ui, page.get_by_role("row").filter(has_text="attic").first)
        press(ui, page.get_by_role("dialog", name="attic").get_by_role("button", name="Drain"))
        expect(page.get_by_role("dialog", name="attic").get_by_role("button", name="Enable")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("row").filter(has_text="attic").filter(has_text="disabled")).to_have_count(1)

        press(ui, page.get_by_role("button", name="Language"))
        press(ui, page.get_by_role("menuitem", name="Español"))
        expect(page.get_by_role("heading", level=1, name="Flota")).to_be_visible()
        press(ui, page.get_by_role("button", name="Tema"))
        press(ui, page.get_by_role("menuitem", name="Oscuro"))
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")


def a_project_and_its_key(ui: Ui) -> str:
    page = ui.page
    go(ui, "p", "Projects")
    press(ui, page.get_by_role("button", name="New project"))
    reach(ui, page.get_by_role("dialog").get_by_label("Name"))
    page.keyboard.type("walked")
    press(ui, page.get_by_role("dialog").get_by_role("button", name="Create"))
    expect(page.get_by_role("heading", level=1, name="walked")).to_be_visible()
    press(ui, page.get_by_role("button", name="New key"))
    reach(ui, page.get_by_role("dialog").get_by_label("Name"))
    page.keyboard.type("laptop")
    press(ui, page.get_by_role("dialog").get_by_role("button", name="Create"))
    shown = page.get_by_role("dialog", name="Key laptop")
    key = shown.get_by_role("tabpanel").inner_text().strip()
    press(ui, shown.get_by_label("I have saved it"), "Space")
    press(ui, shown.get_by_role("button", name="Close"))
    return key

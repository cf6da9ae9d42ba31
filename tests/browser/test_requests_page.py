"""The request log: filters in the address, the drawer with what was tried, and what strangers wrote shown as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
from beside import fleet_of
from playwright.sync_api import Browser, Locator, expect

from support.browser import Ui
from support.rogues import rogue_beside
from support.served import KEY

TWICE = "twice:1b"
HELLO = "llama3.2:3b"
STRANGE = "It's <img src=x onerror=\"document.title='owned'\"> & 'more'"


def ask(ui: Ui, model: str, key: str | None = None, text: str = "Hello") -> str:
    """One chat; its request id."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    headers = {"X-API-Key": key or ui.key()}
    answer = httpx.post(f"{ui.served.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
    return answer.headers["x-request-id"]


def rows(ui: Ui) -> Locator:
    return ui.page.get_by_role("table", name="Requests").locator("tbody").get_by_role("row")


def logged(ui: Ui, request_id: str) -> dict[str, Any]:
    """Its row, once it is in the log."""
    ui.open(f"requests?id={request_id}")  # the drawer waits for it, too
    expect(ui.page.get_by_role("dialog", name="Request").get_by_text(request_id)).to_be_visible()
    row: dict[str, Any] = ui.later(f"requests/{request_id}")
    return row


def test_the_drawer_shows_which_servers_were_tried_and_goes_on_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    with (
        rogue_beside([TWICE], "runner_500") as left,
        rogue_beside([TWICE], "runner_500") as right,
        fleet_of(browser, tmp_path, left=left, right=right) as ui,
    ):
        before = ask(ui, "nobody-has-this", KEY)
        tried = ask(ui, TWICE, KEY)
        assert logged(ui, tried)["attempt_count"] == 2
        drawer = ui.page.get_by_role("dialog", name="Request")
        attempts = drawer.get_by_role("list", name="Attempts, in the order in which they began").get_by_role("listitem")
        expect(attempts).to_have_count(2)
        expect(attempts.nth(0)).to_contain_text("first choice")
        expect(attempts.nth(1)).to_contain_text("failover, after: out of memory")
        assert {server for server in ("left", "right") if server in "".join(attempts.all_inner_texts())} == {
            "left",
            "right",
        }
        ui.page.keyboard.press("j")
        expect(ui.page).to_have_url(re.compile(before))
        expect(drawer).to_contain_text("No server was asked.")
        ui.page.keyboard.press("k")
        expect(ui.page).to_have_url(re.compile(tried))
        ui.page.keyboard.press("Escape")
        expect(drawer).to_have_count(0)


def test_filters_are_in_the_address_and_in_the_export(ui: Ui) -> None:
    ask(ui, "nobody-has-this")
    ask(ui, HELLO)
    ui.open("requests")
    ui.page.get_by_role("radiogroup", name="How it went").get_by_text("Failed").click()
    ui.page.get_by_role("button", name="Filter", exact=True).click()
    ui.page.get_by_role("combobox", name="Model", exact=True).fill("nobody-has-this")
    ui.page.keyboard.press("Enter")
    expect(ui.page).to_have_url(re.compile(r"failed=true&model=nobody-has-this"))
    ui.page.keyboard.press("Escape")
    expect(rows(ui).first).to_contain_text("model_not_found")
    expect(rows(ui).filter(has_text=HELLO)).to_have_count(0)
    ui.page.get_by_role("button", name="Export").click()
    address = ui.page.get_by_role("menuitem", name="CSV").get_attribute("href") or ""
    lines = ui.page.request.get(address).text().splitlines()
    assert lines[0].startswith("request_id,")
    assert all("nobody-has-this" in line for line in lines[1:])
    ui.page.keyboard.press("Escape")
    ui.page.get_by_role("button", name="Without the filter Model").click()
    expect(ui.page).not_to_have_url(re.compile("model="))


def test_what_was_asked_is_shown_as_text_and_becomes_a_command(ui: Ui) -> None:
    ui.api("POST", "projects", json={"name": "keeps", "store_payloads": True})
    key = ui.api("POST", "keys", json={"project": "keeps", "name": "one"})["key"]
    asked = ask(ui, HELLO, key, STRANGE)
    ui.later(f"requests/{asked}/payload")
    logged(ui, asked)
    drawer = ui.page.get_by_role("dialog", name="Request")
    drawer.get_by_role("button", name="Show what was asked and answered").click()
    expect(drawer.get_by_label("Asked")).to_contain_text("<img src=x onerror=")
    expect(drawer.get_by_label("As a curl command")).to_contain_text("It'\\''s <img")
    expect(drawer.get_by_role("link", name="Replay in the playground")).to_be_visible()
    assert ui.page.title() != "owned"
    ui.api("DELETE", "projects/keeps")


def test_what_comes_later_is_counted_and_the_list_stays(ui: Ui) -> None:
    ask(ui, HELLO)
    ui.open("requests")
    expect(rows(ui).filter(has_text=HELLO).first).to_be_visible()
    before = rows(ui).count()
    ask(ui, HELLO)
    fresh = ui.page.get_by_role("button", name=re.compile(r"\d+ new request"))
    expect(fresh).to_be_visible()
    assert rows(ui).count() == before
    fresh.click()
    expect(fresh).to_have_count(0)


def test_what_was_chosen_is_kept_under_a_name_and_comes_back_by_it(ui: Ui) -> None:
    page = ui.page
    ui.open("requests?range=6h&project=demo&status_class=5")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_label("Name of this view").fill("Broken ones of demo")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Broken ones of demo")).to_have_attribute("aria-current", "true")
    assert ui.serious() == []
    ui.open("requests?range=1h")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("link", name="Broken ones of demo").click()
    expect(page).to_have_url(re.compile(r"/requests\?range=6h&project=demo&status_class=5$"))
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("button", name="Delete the view Broken ones of demo").click()
    expect(page.get_by_role("link", name="Broken ones of demo")).to_be_hidden()
    ui.open("usage")
    page.get_by_role("button", name="Saved views").click()
    expect(page.get_by_text("can be kept under a name")).to_be_visible()

"""The overview: figures that lead to the requests behind them, and what somebody should look at."""

from __future__ import annotations

import re
import time

import httpx
from playwright.sync_api import expect

from support.browser import Ui

NOBODY_HAS = "no-such-model-of-the-overview"


def ask(ui: Ui, model: str = "llama3.2:3b") -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    asked = httpx.post(f"{ui.served.url}/v1/chat/completions", json=body, headers={"X-API-Key": ui.key()}, timeout=30)
    return asked.status_code


def counted(ui: Ui, requests: int, **query: str) -> None:
    """Waits until the figures hold so many: rows are written in batches."""
    patience = time.monotonic() + 15
    while ui.api("GET", "stats/overview", params=query)["current"]["requests"] < requests:
        assert time.monotonic() < patience, f"never {requests} requests"
        ui.page.wait_for_timeout(200)


def test_every_figure_leads_to_what_is_behind_it(ui: Ui) -> None:
    before = ui.api("GET", "stats/overview", params={"error_code": "model_not_found"})["current"]["requests"]
    assert ask(ui, NOBODY_HAS) == 404
    assert ask(ui) == 200
    counted(ui, before + 1, error_code="model_not_found")
    ui.open("overview?range=1h")
    for name in (
        "Requests",
        "Success after failover",
        "Saved by failover",
        "Healthy servers",
        "First token",
        "Latency",
    ):
        expect(ui.page.get_by_role("main").get_by_role("link", name=re.compile(f"^{name}.*[0-9]"))).to_be_visible()
    expect(ui.page.get_by_role("region", name="Requests by ending").locator("svg.recharts-surface")).to_be_visible()
    ui.page.get_by_role("table", name="Most frequent errors").get_by_role("link", name="model_not_found").click()
    expect(ui.page).to_have_url(re.compile(r"/requests\?range=1h&error_code=model_not_found"))
    expect(ui.page.get_by_role("table", name="Requests").get_by_text(NOBODY_HAS).first).to_be_visible()
    ui.page.go_back()
    ui.page.get_by_role("link", name=re.compile("^Healthy servers")).click()
    expect(ui.page.get_by_role("heading", level=1, name="Fleet")).to_be_visible()


def test_the_time_the_project_and_the_comparison_are_in_the_address(ui: Ui) -> None:
    assert ask(ui) == 200
    counted(ui, 1)
    ui.open("overview")
    ui.page.get_by_role("button", name="Last 24 hours").click()
    ui.page.get_by_role("menuitem", name="Last hour").click()
    ui.page.get_by_role("combobox", name="All projects").click()
    ui.page.get_by_role("option", name="demo", exact=True).click()
    ui.page.get_by_role("switch", name="Compare").press("Space")
    for part in ("range=1h", "project=demo", "compare=1"):
        expect(ui.page).to_have_url(re.compile(part))
    expect(ui.page.get_by_role("region", name="Requests by ending").get_by_text("The time before")).to_be_visible()
    ui.page.get_by_role("main").get_by_role("link", name=re.compile("^Requests ?[0-9]")).click()
    expect(ui.page).to_have_url(re.compile(r"/requests\?range=1h&project=demo"))


def test_who_has_no_request_yet_is_shown_the_way(ui: Ui) -> None:
    ui.open("overview?range=2020-01-01T00:00:00.000Z_2020-01-02T00:00:00.000Z")
    expect(ui.page.get_by_role("heading", name="No request yet")).to_be_visible()
    ui.page.get_by_role("link", name="Get started", exact=True).last.click()
    expect(ui.page).to_have_url(re.compile("/start"))

"""Usage: a metric by groups over time, its table, and the file for spreadsheets."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path

import httpx
from playwright.sync_api import expect

from support.browser import Ui

FORMULA = "=1+1"


def ask(ui: Ui, key: str) -> None:
    body = {"model": "llama3.2:3b", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    asked = httpx.post(f"{ui.served.url}/v1/chat/completions", json=body, headers={"X-API-Key": key}, timeout=30)
    assert asked.status_code == 200, asked.text


def counted(ui: Ui, project: str) -> None:
    patience = time.monotonic() + 15
    while not ui.api("GET", "stats", params={"project": project})["data"]:
        assert time.monotonic() < patience, f"no figures of {project}"
        ui.page.wait_for_timeout(200)


def test_figures_are_explored_by_metric_and_group_and_lead_to_requests(ui: Ui) -> None:
    ask(ui, ui.key())
    counted(ui, "demo")
    ui.open("usage?range=1h")
    ui.page.get_by_role("combobox", name="Metric").click()
    ui.page.get_by_role("option", name="Answer tokens").click()
    ui.page.get_by_role("combobox", name="Grouped by").press("ArrowDown")
    ui.page.get_by_role("option", name="Endpoint").click()
    ui.page.keyboard.press("Escape")
    ui.page.get_by_role("switch", name="Cumulative").press("Space")
    for part in ("metric=tokens_output", "by=project%2Cendpoint", "sum=1"):
        expect(ui.page).to_have_url(re.compile(part))
    expect(ui.page.get_by_role("region", name="Over time").locator("svg.recharts-surface")).to_be_visible()
    table = ui.page.get_by_role("table", name="By group")  # other projects may have asked as well
    row = table.get_by_role("row").filter(has_text="demo").filter(has_text="/v1/chat/completions").first
    expect(row.get_by_role("progressbar")).to_be_visible()
    ui.page.set_viewport_size({"width": 1000, "height": 800})  # the table is narrower than its columns want to be
    expect(row.get_by_role("progressbar")).to_be_visible()
    row.get_by_role("link", name="Open in Requests").click()
    expect(ui.page).to_have_url(re.compile(r"/requests\?range=1h&project=demo&endpoint=%2Fv1%2Fchat%2Fcompletions"))


def test_the_hours_of_a_week_are_walked_by_keyboard_and_lead_to_their_requests(ui: Ui) -> None:
    ask(ui, ui.key())
    counted(ui, "demo")
    ui.open("usage?range=24h")
    ui.page.get_by_role("radiogroup", name="Kind of chart").get_by_text("Week").click()
    expect(ui.page).to_have_url(re.compile("look=week"))
    grid = ui.page.get_by_role("grid", name="By hour of the week")
    expect(grid.get_by_role("gridcell", name=re.compile("not in this time")).first).to_be_visible()
    expect(ui.page.get_by_text("Hours in UTC")).to_be_visible()
    assert ui.serious() == []
    first = grid.locator("[tabindex='0']")
    first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        ui.page.keyboard.press(key)
    reached = grid.locator("[data-at='26']")
    expect(reached).to_be_focused()
    expect(ui.page.get_by_role("tooltip").filter(has_text="Tuesday 02:00–03:00")).to_be_visible()
    hour = grid.get_by_role("link", name=re.compile(r"Requests [1-9]")).last
    hour.click()
    expect(ui.page).to_have_url(re.compile(r"/requests\?range=20.*_20"))
    expect(ui.page.get_by_role("table", name="Requests").get_by_role("row").nth(1)).to_be_visible()


def test_the_file_holds_what_is_shown_and_runs_no_formula(ui: Ui, tmp_path: Path) -> None:
    ui.api("POST", "projects", json={"name": FORMULA})
    ask(ui, ui.api("POST", "keys", json={"project": FORMULA, "name": "one"})["key"])
    counted(ui, FORMULA)
    ui.open("usage?range=1h")
    shown = ui.page.get_by_role("table", name="By group")
    expect(shown.get_by_text(FORMULA, exact=True)).to_be_visible()
    with ui.page.expect_download() as waiting:
        ui.page.get_by_role("button", name="CSV").click()
    waiting.value.save_as(tmp_path / "usage.csv")
    with (tmp_path / "usage.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == shown.locator("tbody").get_by_role("row").count()
    assert [row["requests"] for row in rows if row["project"] == f"'{FORMULA}"] == ["1"]
    assert not [row for row in rows if row["project"].startswith("=")]
    ui.api("DELETE", f"projects/{FORMULA}")

"""Who changed what: found by name, with what it was before."""

from __future__ import annotations

import csv
import re

from playwright.sync_api import expect

from support.browser import Ui


def test_a_change_is_found_and_shown_with_what_it_was_before(ui: Ui) -> None:
    ui.api("POST", "projects", json={"name": "audited", "description": "first"})
    ui.api("PATCH", "projects/audited", json={"description": "<b>second</b>", "rate_limit_per_minute": 7})
    ui.open("audit")
    ui.page.get_by_placeholder("Object: its id or name").fill("audited")
    ui.page.keyboard.press("Enter")
    expect(ui.page).to_have_url(re.compile("object=audited"))
    expect(ui.page.get_by_role("row").filter(has_text="Project created")).to_be_visible()
    ui.page.get_by_role("button", name="Show what changed: Project changed").press("Enter")
    changes = ui.page.get_by_role("table", name="Project changed")
    expect(changes.get_by_role("row").filter(has_text="description")).to_have_text(re.compile("first.*<b>second</b>"))
    expect(changes.get_by_role("row").filter(has_text="rate_limit_per_minute")).to_contain_text("7")
    expect(ui.page).to_have_url(re.compile("open="))
    ui.api("DELETE", "projects/audited")
    ui.page.get_by_role("button", name="Refresh").click()
    expect(ui.page.get_by_role("row").filter(has_text="Project deleted")).to_be_visible()


def test_what_is_shown_is_exported_as_a_table(ui: Ui) -> None:
    ui.api("POST", "projects", json={"name": "exported"})
    ui.api("DELETE", "projects/exported")
    ui.open("audit?object=exported")
    ui.page.get_by_role("button", name="Export").click()
    with ui.page.expect_download() as saved:
        ui.page.get_by_role("menuitem", name="CSV").click()
    assert saved.value.suggested_filename == "audit.csv"
    with saved.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["action"], row["object_name"]) for row in rows] == [
        ("project.create", "exported"),
        ("project.delete", "exported"),
    ]

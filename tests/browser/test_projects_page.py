"""A project from its first key to its end, as whoever runs it would go about it."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from support.browser import Ui

QUESTION = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hola"}], "max_tokens": 5}


def ask(ui: Ui, key: str) -> int:
    headers = {"X-API-Key": key}
    return httpx.post(f"{ui.served.url}/v1/chat/completions", json=QUESTION, headers=headers, timeout=30).status_code


def create(ui: Ui, name: str) -> Page:
    page = ui.page
    ui.open("projects")
    page.get_by_role("button", name="New project").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
    return page


def test_a_key_is_shown_once_works_and_is_refused_when_revoked(ui: Ui) -> None:
    page = create(ui, "shown once")
    page.get_by_role("button", name="New key").click()
    page.get_by_role("dialog").get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Create").click()
    shown = page.get_by_role("dialog", name="Key laptop")
    key = shown.get_by_role("tabpanel").inner_text().strip()
    assert re.fullmatch(r"llmgw_\w+", key)
    shown.get_by_role("tab", name="Python").click()
    expect(shown.get_by_role("tabpanel")).to_contain_text(key)
    expect(shown.get_by_role("button", name="Close")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(shown).to_be_visible()
    assert ui.serious() == []
    shown.get_by_label("I have saved it").check()
    shown.get_by_role("button", name="Close").click()
    expect(page.get_by_text(key)).to_have_count(0)
    assert ask(ui, key) == 200

    page.get_by_role("button", name="Actions for key laptop").click()
    page.get_by_role("menuitem", name="Rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(page.get_by_text("The old key ends:")).to_be_visible()
    page.get_by_label("I have saved it").check()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(page.get_by_role("row", name=re.compile("laptop"))).to_have_count(2)
    assert ask(ui, key) == 200

    old = page.get_by_role("row", name=re.compile(f"laptop.*{re.escape(key[-4:])}"))
    old.get_by_role("button", name="Actions for key laptop").click()
    page.get_by_role("menuitem", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(old).to_have_count(0)
    assert ask(ui, key) == 401


def test_strangers_machines_are_only_allowed_by_whoever_says_that_they_understood(ui: Ui) -> None:
    page = create(ui, "cautious")
    page.get_by_role("tab", name="Models").click()
    page.get_by_role("combobox", name="Model").fill("smollm2:135m")
    page.get_by_role("button", name="Check").click()
    answer = page.get_by_role("status").filter(has_text="The project is active")
    expect(answer).to_be_visible()
    before = ui.api("GET", "models/smollm2:135m/explain", params={"project": "cautious"})["outcome"]
    expect(answer.get_by_text("Yes: the request would be answered." if before == "serves" else "No.")).to_be_visible()

    page.get_by_role("tab", name="Data policy").click()
    page.get_by_role("checkbox", name="public").check()
    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog", name="Let project cautious use public servers?")
    expect(dialog.get_by_role("button", name="Allow public servers")).to_be_disabled()
    assert ui.serious() == []
    assert ui.api("GET", "projects/cautious")["trust"] == ["own", "partner"]
    dialog.get_by_label("I have understood").check()
    dialog.get_by_role("button", name="Allow public servers").click()
    expect(dialog).to_have_count(0)
    assert ui.api("GET", "projects/cautious")["trust"] == ["own", "partner", "public"]
    note = ui.api("GET", "audit")["data"][0]
    assert (note["action"], note["after"]["trust"]) == ("project.update", ["own", "partner", "public"])


def test_a_project_is_limited_renamed_paused_and_deleted_by_typing_its_name(ui: Ui) -> None:
    page = create(ui, "short lived")
    page.get_by_role("tab", name="Limits and budgets").click()
    page.get_by_label("Tokens per day").fill("5000")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("0 / 5,000")).to_be_visible()
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Name").fill("renamed")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1, name="renamed")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_text("The project is paused")).to_be_visible()
    assert ui.api("GET", "projects/renamed")["is_active"] is False
    page.get_by_role("button", name="Delete").click()
    delete = page.get_by_role("dialog").get_by_role("button", name="Delete")
    expect(delete).to_be_disabled()
    page.get_by_label("Type renamed to confirm").fill("renamed")
    delete.click()
    expect(page.get_by_role("heading", level=1, name="Projects")).to_be_visible()
    expect(page.get_by_role("link", name="renamed")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_can_be_used_by_everybody(ui: Ui, scheme: str) -> None:
    ui.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for tab in ("Keys", "Limits and budgets", "Data policy", "Models", "Connect", "Settings"):
        ui.open("projects/demo")
        ui.page.get_by_role("tab", name=tab).click()
        expect(ui.page.get_by_role("tabpanel", name=tab)).to_be_visible()
        ui.page.wait_for_load_state("networkidle")
        assert ui.serious() == [], tab

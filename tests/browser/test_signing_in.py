"""From a link to the first page, by keyboard, in both languages and themes."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from support.browser import TOKEN, Ui, watched
from support.served import Served


def test_without_a_session_the_sign_in_page_comes_and_leads_back(browser: Browser, demo: Served) -> None:
    with browser.new_context(locale="en-GB") as context:
        ui = watched(context, demo)
        ui.page.goto(f"{demo.url}/admin/#/audit")
        expect(ui.page.get_by_role("heading", name="Sign in to LLM Gateway")).to_be_visible()
        ui.page.get_by_role("button", name="Sign in with the admin token").click()
        ui.page.get_by_label("Admin token").fill("wrong")
        ui.page.keyboard.press("Enter")
        expect(ui.page.get_by_role("alert")).to_be_visible()
        ui.page.get_by_label("Admin token").fill(TOKEN)
        ui.page.keyboard.press("Enter")
        expect(ui.page.get_by_role("heading", level=1, name="Audit log")).to_be_visible()
        assert [each for each in ui.complaints if "401" not in each] == []


def test_language_and_theme_are_switched_and_kept(ui: Ui) -> None:
    ui.open("overview")
    ui.page.get_by_role("button", name="Language").click()
    ui.page.get_by_role("menuitem", name="Español").click()
    expect(ui.page.get_by_role("heading", level=1, name="Resumen")).to_be_visible()
    ui.page.get_by_role("button", name="Tema").click()
    ui.page.get_by_role("menuitem", name="Oscuro").click()
    ui.page.reload()
    expect(ui.page.get_by_role("heading", level=1, name="Resumen")).to_be_visible()
    expect(ui.page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    expect(ui.page.locator("html")).to_have_attribute("lang", "es")


def test_keys_lead_to_pages_and_to_the_list_of_keys(ui: Ui) -> None:
    ui.open("overview")
    ui.page.keyboard.press("g")
    ui.page.keyboard.press("p")
    expect(ui.page).to_have_url(re.compile("#/projects"))
    ui.page.keyboard.press("?")
    expect(ui.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    ui.page.keyboard.press("Escape")
    ui.page.keyboard.press("Control+k")
    expect(ui.page.get_by_placeholder("Go to…")).to_be_focused()
    ui.page.keyboard.type("fleet")
    ui.page.keyboard.press("Enter")
    expect(ui.page).to_have_url(re.compile("#/fleet"))

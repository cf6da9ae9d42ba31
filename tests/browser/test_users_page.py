"""An owner lets somebody in, and takes it back."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from support.browser import Ui, watched


def test_a_user_gets_a_password_and_a_role_and_sees_what_is_not_for_them_greyed(ui: Ui, browser: Browser) -> None:
    page = ui.page
    ui.open("users")
    page.get_by_role("button", name="Add user").click()
    dialog = page.get_by_role("dialog", name="Add user")
    dialog.get_by_label("Name").fill("ines")
    dialog.get_by_role("button", name="Make one").click()
    password = dialog.get_by_role("textbox", name="Password").input_value()
    assert ui.serious() == []
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("row", name="ines Viewer")).to_be_visible()

    with browser.new_context(locale="en-GB") as context:
        theirs = watched(context, ui.served)
        theirs.page.goto(f"{ui.served.url}/admin/#/projects")
        theirs.page.get_by_label("Name").fill("ines")
        theirs.page.get_by_role("textbox", name="Password").fill(password)
        theirs.page.keyboard.press("Enter")
        expect(theirs.page.get_by_role("button", name="New project")).to_be_disabled()
        expect(theirs.page.get_by_role("link", name="Users")).to_have_count(0)

        page.get_by_role("button", name="Actions for user ines").click()
        page.get_by_role("menuitem", name="Change role").click()
        page.get_by_role("dialog").get_by_role("radio", name="Editor").check()
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        expect(page.get_by_role("row", name="ines Editor")).to_be_visible()
        theirs.page.reload()
        expect(theirs.page.get_by_role("button", name="New project")).to_be_enabled()

        page.get_by_role("button", name="Actions for user ines").click()
        page.get_by_role("menuitem", name="Disable").click()
        page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        expect(page.get_by_role("row", name="ines Disabled Editor")).to_be_visible()
        theirs.page.reload()
        expect(theirs.page.get_by_role("heading", name="Sign in to LLM Gateway")).to_be_visible()

    page.get_by_role("button", name="Actions for user ines").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("row", name="ines")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_used_by_everybody(ui: Ui, scheme: str) -> None:
    ui.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    ui.open("users")
    ui.page.get_by_role("button", name="One-time link").click()
    expect(ui.page.get_by_role("dialog").get_by_text("/admin/#/login?t=")).to_be_visible()
    assert ui.serious() == []

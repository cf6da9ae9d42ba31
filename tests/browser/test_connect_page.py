"""From a client's name to what is pasted into it."""

from __future__ import annotations

from playwright.sync_api import expect

from support.browser import Ui


def test_a_client_is_found_and_its_recipe_holds_this_address_and_the_chosen_model(ui: Ui) -> None:
    page = ui.page
    ui.open("connect")
    expect(page.get_by_role("region", name="curl, and plain HTTP")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Search clients")).to_be_focused()
    page.keyboard.type("claude")
    recipe = page.get_by_role("region", name="Claude Code")
    expect(recipe).to_contain_text(f"ANTHROPIC_BASE_URL={ui.served.url}")
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="qwen2.5:7b").click()
    expect(recipe).to_contain_text("qwen2.5:7b")
    page.reload()
    expect(page.get_by_role("region", name="Claude Code")).to_contain_text("qwen2.5:7b")


def test_a_recipe_is_told_in_the_language_of_the_page(ui: Ui) -> None:
    ui.open("connect")
    ui.page.evaluate("localStorage.setItem('llmgw-language', 'es')")
    ui.open("connect")
    recipe = ui.page.get_by_role("region", name="curl, and plain HTTP")
    expect(recipe).to_contain_text("Qué modelos hay:")
    expect(recipe.get_by_role("listitem")).to_contain_text("también sirven.")

"""What names mean: mapping one, seeing who would serve it, testing it, and searching the catalogue."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from support.browser import Ui


def put_first(page: Page, name: str) -> None:
    """By the keyboard alone."""
    button = page.get_by_role("button", name=f"Move {name} up")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("listitem").filter(has_text="1").first).to_contain_text(name)


def test_a_name_is_mapped_explained_tested_and_deleted(ui: Ui) -> None:
    page = ui.page
    ui.open("models")
    page.get_by_role("button", name="Map a name").first.click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=False).first.fill("quick")
    for model in ("smollm2:135m", "llama3.2:3b", "nobody-has-this"):
        form.get_by_label("Add a model").fill(model)
        page.keyboard.press("Enter")
    put_first(page, "llama3.2:3b")
    form.get_by_label("temperature", exact=True).fill("0.2")
    form.get_by_text("JSON", exact=True).click()
    expect(form.get_by_label("Default parameters as JSON")).to_have_value(re.compile('"temperature": 0.2'))
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    made = next(each for each in ui.api("GET", "models")["data"] if each["name"] == "quick")
    assert made["backend"] == ["llama3.2:3b", "smollm2:135m", "nobody-has-this"]
    assert made["params"] == {"temperature": 0.2}

    row = page.get_by_role("row").filter(has_text="quick")
    expect(row).to_contain_text("no healthy server")
    row.focus()
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_role("table", name="Servers that may be asked, in this order")).to_contain_text("demo-birch")
    expect(drawer.get_by_role("table", name="Not asked, and why")).to_contain_text("51fbd28f4e4a")
    assert ui.serious() == []
    drawer.get_by_role("button", name="Test").click()
    expect(drawer.get_by_text("It answered")).to_be_visible()
    expect(drawer.get_by_text("Served by")).to_contain_text("llama3.2:3b")

    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete quick").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("quick is deleted.")).to_be_visible()
    assert "quick" not in [each["name"] for each in ui.api("GET", "models")["data"]]


def test_the_catalogue_is_searched_and_a_model_leads_to_a_name_for_it(ui: Ui) -> None:
    page = ui.page
    ui.open("models?tab=catalogue")
    table = page.get_by_role("table", name="Catalogue")
    expect(table.get_by_role("row")).to_have_count(1 + len(ui.api("GET", "catalogue")["data"]))
    page.get_by_label("Search", exact=True).fill("llama")
    expect(table.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("status").filter(has_text="1 of")).to_be_visible()
    assert "q=llama" in page.url
    assert ui.serious() == []
    table.get_by_text("llama3.2:3b").click()
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_role("region", name="Physical model")).to_contain_text("8d42e1616fe5")
    drawer.get_by_role("button", name="Map a name to this").click()
    expect(page.get_by_role("listitem")).to_contain_text("llama3.2:3b")


def test_who_would_serve_a_model_is_said_in_the_language_of_the_page(ui: Ui) -> None:
    page = ui.page
    ui.open("models")
    page.evaluate("localStorage.setItem('llmgw-language', 'es')")
    ui.api("POST", "projects", json={"name": "castellano"})
    ui.open("models?name=llama3.2:3b&as=castellano")
    explained = page.get_by_role("region", name="Quién lo serviría ahora, y por qué")
    expect(explained).to_contain_text("Preguntaría primero a")
    expect(explained.get_by_role("table", name="Los que no se usan, y por qué")).to_contain_text(
        "no se permite la clase de confianza «público»"
    )
    ui.open("settings/doctor")
    expect(page.get_by_role("row").filter(has_text="flota")).to_contain_text("modelos tienen un servidor sano")
    ui.api("DELETE", "projects/castellano")

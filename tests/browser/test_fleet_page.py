"""The fleet: finding a server, what is known of it, taking it out of service and back, adding another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.browser import TOKEN, Ui, admin, signed_in, watched
from support.net import closed_port
from support.served import KEY, Served, project, serve


def state_of(ui: Ui, name: str) -> str:
    return str(ui.api("GET", f"servers/{name}")["state"])


def test_a_server_is_found_drained_and_enabled_again(ui: Ui) -> None:
    page = ui.page
    ui.open("fleet")
    servers = page.get_by_role("table", name="Fleet")
    expect(servers.get_by_role("row").filter(has_text="demo-lying")).to_contain_text("wrong_digest")
    assert ui.serious() == []
    page.get_by_role("button", name=re.compile("healthy$")).click()
    expect(servers.get_by_text("demo-dead")).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("cedar")
    expect(servers.get_by_role("row")).to_have_count(2)
    assert "state=healthy" in page.url
    assert "q=cedar" in page.url
    servers.get_by_text("demo-cedar").click()
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_role("table", name="Models")).to_contain_text("qwen2.5:7b")
    expect(drawer.get_by_role("region", name="The last 24 hours").get_by_role("img")).to_be_visible()
    assert ui.serious() == []
    try:
        drawer.get_by_role("button", name="Drain").click()
        expect(drawer.get_by_role("button", name="Enable")).to_be_visible()
        assert state_of(ui, "demo-cedar") == "disabled"
        drawer.get_by_role("button", name="Enable").click()
        expect(drawer.get_by_role("button", name="Drain")).to_be_visible()
        assert state_of(ui, "demo-cedar") == "healthy"
    finally:
        ui.api("POST", "servers/demo-cedar/enable")


def test_several_servers_are_probed_at_once(ui: Ui) -> None:
    page = ui.page
    ui.open("fleet?q=demo-m")
    page.get_by_role("checkbox", name="Select all shown").check()
    page.get_by_role("toolbar").get_by_role("button", name="Probe").click()
    expect(page.get_by_text("1 server answered.")).to_be_visible()


def test_which_server_holds_which_model_is_seen_at_once(ui: Ui) -> None:
    page = ui.page
    made = ui.api("POST", "models", json={"name": "held", "backend": ["mistral:latest", "qwen2.5:7b"]})
    try:
        ui.open("fleet")
        page.get_by_role("radiogroup", name="View").get_by_text("Models").click()
        expect(page).to_have_url(re.compile("view=matrix"))
        matrix = page.get_by_role("table", name="Models by server")
        expect(matrix.get_by_role("columnheader", name="demo-lying")).to_be_visible()
        place = matrix.get_by_role("columnheader").all_inner_texts().index("demo-lying")
        row = matrix.get_by_role("row").filter(has=page.get_by_role("link", name="llama3.2:3b", exact=True))
        expect(row.get_by_role("cell").nth(place - 1)).to_have_text("quarantined")
        row = matrix.get_by_role("row").filter(has=page.get_by_role("link", name="held", exact=True))
        expect(row).to_contain_text("mistral:latest → qwen2.5:7b")
        expect(row.get_by_role("cell").nth(place - 1)).to_have_text("not held")
        assert ui.serious() == []
        page.get_by_label("Find a model").fill("smollm2")
        expect(matrix.get_by_role("link", name="llama3.2:3b")).to_have_count(0)
        expect(matrix.get_by_role("button", name="demo-maple")).to_have_count(0)  # it holds none of these
        matrix.get_by_role("button", name="demo-cedar").press("Enter")
        expect(page.get_by_role("dialog").get_by_role("table", name="Models")).to_contain_text("qwen2.5:7b")
        page.keyboard.press("Escape")
        matrix.get_by_role("link", name="smollm2:135m").press("Enter")
        expect(page).to_have_url(re.compile(r"/models\?tab=catalogue&name=smollm2"))
    finally:
        ui.api("DELETE", f"models/{made['id']}")


@pytest.fixture
def own(browser: Browser, demo: Served, tmp_path: Path) -> Iterator[Ui]:
    """A gateway whose config file names one server; the demo's servers are its servers, too."""
    server = {"name": "lab", "url": admin(demo, "GET", "servers/demo-maple")["url"], "kind": "ollama", "trust": "own"}
    config = project(servers=[server])
    with serve(tmp_path, config=config, LLM_GATEWAY_ADMIN_TOKEN=TOKEN, LLM_TEST_KEY=KEY) as served:
        context = signed_in(browser, served)
        ui = watched(context, served)
        yield ui
        context.close()
        assert not ui.complaints


def test_a_server_is_verified_added_and_removed_and_the_config_files_are_locked(own: Ui, demo: Served) -> None:
    page = own.page
    own.open("fleet?add=1")
    dialog = page.get_by_role("dialog")
    with closed_port() as port:
        dialog.get_by_label("Address").fill(f"http://127.0.0.1:{port}")
        dialog.get_by_role("button", name="Verify").click()
        expect(dialog.get_by_text("It did not answer as it should: refused")).to_be_visible()
        assert own.serious() == []
    dialog.get_by_label("Address").fill(admin(demo, "GET", "servers/demo-birch")["url"])
    expect(dialog.get_by_role("button", name="Add")).to_be_hidden()
    dialog.get_by_role("button", name="Verify").click()
    expect(dialog.get_by_text("It answered and lists 3 models.")).to_be_visible()
    dialog.get_by_role("textbox", name="Name", exact=True).fill("spare")
    dialog.get_by_role("button", name="Add", exact=True).click()
    drawer = page.get_by_role("dialog", name="spare")
    expect(drawer.get_by_role("table", name="Models")).to_contain_text("smollm2:135m")
    drawer.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog", name="Remove spare?").get_by_role("button", name="Remove").click()
    servers = page.get_by_role("table", name="Fleet")
    expect(servers.get_by_text("spare")).to_be_hidden()
    servers.get_by_text("lab").click()
    expect(page.get_by_role("dialog", name="lab").get_by_role("button", name="Drain")).to_be_disabled()


@pytest.mark.parametrize(("view", "shown"), [("lanes", "How every server fared"), ("sources", "Sources")])
def test_the_other_views_show_their_table_without_serious_faults(ui: Ui, view: str, shown: str) -> None:
    ui.open(f"fleet?view={view}")
    expect(ui.page.get_by_role("table", name=shown)).to_contain_text("demo")
    assert ui.serious() == []

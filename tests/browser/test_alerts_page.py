"""Alerts: what fires, the rules that people keep, and trying who is told."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from support.browser import TOKEN, Ui, signed_in, watched
from support.net import free_port
from support.served import serve


def test_a_rule_is_made_tried_paused_and_deleted(ui: Ui) -> None:
    ui.open("alerts")
    ui.page.get_by_role("button", name="New rule").click()
    form = ui.page.get_by_role("dialog", name="New rule")
    form.get_by_role("textbox", name="Name").fill("too_many_errors")
    form.get_by_role("textbox", name="Threshold").fill("12.5")
    form.get_by_role("textbox", name="Summed over").fill("1 fortnight")
    form.get_by_role("button", name="Create").click()
    expect(form.get_by_role("alert")).to_be_visible()  # the API's own words say what is allowed
    form.get_by_role("textbox", name="Summed over").fill("10m")
    form.get_by_role("button", name="Create").click()
    expect(form).to_have_count(0)
    row = ui.page.get_by_role("table", name="Rules").get_by_role("row", name=re.compile("too_many_errors"))
    expect(row).to_contain_text("error_share > 12.5 %")
    row.get_by_role("button", name="Actions for too_many_errors").click()
    ui.page.get_by_role("menuitem", name="What would it say now?").click()
    tried = ui.page.get_by_role("dialog", name="What too_many_errors would say now")
    expect(tried.get_by_text("error_share > 12.5 %")).to_be_visible()
    ui.page.keyboard.press("Escape")
    row.get_by_role("switch", name="Watch too_many_errors").press("Space")
    expect(row.get_by_role("switch")).not_to_be_checked()
    known = {rule["name"]: rule for rule in ui.api("GET", "alerts/rules")["data"]}["too_many_errors"]
    assert (known["enabled"], known["over_s"], known["threshold"]) == (False, 600, 0.125)
    row.get_by_role("button", name="Actions for too_many_errors").click()
    ui.page.get_by_role("menuitem", name="Delete").click()
    ui.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_a_built_in_rule_is_changed_and_restored(ui: Ui) -> None:
    ui.open("alerts?tab=rules")
    row = ui.page.get_by_role("table", name="Rules").get_by_role("row", name=re.compile("key_expires"))
    row.get_by_role("button", name="Actions for key_expires").click()
    ui.page.get_by_role("menuitem", name="Edit").click()
    form = ui.page.get_by_role("dialog", name="Edit key_expires")
    form.get_by_role("textbox", name="Threshold").fill("14")
    form.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("key_days_left < 14 days")
    row.get_by_role("button", name="Actions for key_expires").click()
    ui.page.get_by_role("menuitem", name="Restore the built-in rule").click()
    ui.page.get_by_role("dialog").get_by_role("button", name="Restore the built-in rule").click()
    expect(row).to_contain_text("key_days_left < 7 days")


def test_the_files_rules_are_locked_and_its_webhooks_are_tried(browser: Browser, tmp_path: Path) -> None:
    config = {
        "allow_private_upstreams": ["127.0.0.0/8"],
        "alerts": {
            "webhooks": [{"name": "team", "url": f"http://127.0.0.1:{free_port()}/hook"}],
            "rules": [{"name": "nobody_home", "when": "healthy_servers < 1", "severity": "critical"}],
        },
    }
    with serve(tmp_path / "gateway", config=config, LLM_GATEWAY_ADMIN_TOKEN=TOKEN) as served:
        context = signed_in(browser, served)
        ui = watched(context, served)
        ui.open("alerts?tab=rules")
        row = ui.page.get_by_role("table", name="Rules").get_by_role("row", name=re.compile("nobody_home"))
        expect(row.get_by_role("switch")).to_be_disabled()
        expect(row.get_by_role("img", name=re.compile("owned by the configuration file"))).to_be_visible()
        ui.page.get_by_role("tab", name="Notices").click()
        ui.page.get_by_role("button", name="Send a test: team").click()
        expect(ui.page.get_by_role("alert").last).to_be_visible()  # nobody listens there
        deliveries = ui.page.get_by_role("table", name="Latest deliveries")
        expect(deliveries).to_be_visible()
        ui.page.get_by_role("tab", name="Now").click()
        firing = ui.page.get_by_role("table", name="Now").get_by_role("row", name=re.compile("nobody_home"))
        while firing.count() == 0:
            ui.page.get_by_role("button", name="Refresh").click()
            ui.page.wait_for_timeout(500)
        expect(firing).to_contain_text("Firing")
        ui.open("overview")
        expect(ui.page.get_by_role("alert").filter(has_text="nobody_home")).to_be_visible()
        context.close()
        assert not ui.complaints

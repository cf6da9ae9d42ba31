"""Chatting as a project: one model, several beside each other, stopping, and where the answer came from."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from support.browser import Ui

MODEL = "llama3.2:3b"


def test_an_answer_streams_in_and_says_how_fast_it_was(ui: Ui) -> None:
    ui.open(f"playground?model={MODEL}")
    ui.page.get_by_label("Message").fill("Say hello in one sentence.")
    ui.page.keyboard.press("Enter")
    conversation = ui.page.get_by_role("log")
    expect(conversation.get_by_text("Say hello in one sentence.")).to_be_visible()
    expect(conversation.get_by_text("first token")).to_be_visible()
    expect(conversation.get_by_role("link", name="What happened")).to_be_visible(timeout=30_000)
    identity = conversation.get_by_role("link", name="What happened").get_attribute("href").partition("id=")[2]
    row = ui.later(f"requests/{identity}")
    assert (row["endpoint"], row["outcome"], row["project"]) == ("playground", "ok", "demo")


def test_a_question_that_comes_before_the_projects_are_known_waits_for_them(ui: Ui) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    ui.page.route("**/admin/api/projects", hold)
    ui.open(f"playground?model={MODEL}")
    ui.page.get_by_label("Message").fill("Am I too early?")
    ui.page.keyboard.press("Enter")
    expect(ui.page.get_by_role("log").get_by_text("Am I too early?")).to_be_hidden()
    for route in held:
        route.continue_()
    expect(ui.page.get_by_role("log").get_by_text("Am I too early?")).to_be_visible()
    expect(ui.page.get_by_role("log").get_by_role("link", name="What happened")).to_be_visible()


def test_two_models_answer_beside_each_other_and_can_be_stopped(ui: Ui) -> None:
    ui.open(f"playground?model={MODEL}")
    ui.page.get_by_role("button", name="Compare").click()
    expect(ui.page.get_by_role("log")).to_have_count(2)
    ui.page.get_by_label("Message").fill("Tell me a story of a thousand words.")
    ui.page.get_by_role("button", name="Send").click()
    ui.page.get_by_role("button", name="Stop").click()
    expect(ui.page.get_by_role("button", name="Send")).to_be_visible()
    expect(ui.page.get_by_role("log").first.get_by_role("link", name="What happened")).to_be_visible()


def test_the_code_shown_asks_the_same(ui: Ui) -> None:
    ui.open(f"playground?model={MODEL}")
    ui.page.get_by_label("Message").fill("It's me")
    ui.page.get_by_role("button", name="View code").click()
    shown = ui.page.get_by_role("dialog").locator("pre").first.text_content() or ""
    assert f"{ui.served.url}/v1/chat/completions" in shown
    assert "It'\\''s me" in shown

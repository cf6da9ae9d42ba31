"""From a gateway with servers to the first answer, without leaving the page."""

from __future__ import annotations

import re

import httpx
from playwright.sync_api import expect

from support.browser import Ui


def test_a_fresh_key_stands_in_the_snippet_and_its_first_request_is_noticed(ui: Ui) -> None:
    page = ui.page
    ui.open("start")
    page.get_by_role("button", name="Make a key for the snippets").click()
    page.get_by_role("combobox", name="Project").fill("newcomer")
    page.get_by_role("button", name="Create project and key").click()
    expect(page.get_by_text("This is the only time")).to_be_visible()
    key = re.findall(r"llmgw_\w+", page.get_by_role("main").inner_text())[0]
    page.get_by_role("tab", name="JavaScript").click()
    expect(page.get_by_role("tabpanel", name="JavaScript")).to_contain_text(f"OPENAI_API_KEY={key}")
    waiting = page.get_by_text("Waiting for the first request with the key of newcomer")
    expect(waiting).to_be_visible()

    def ask(model: str) -> httpx.Response:
        question = {"model": model, "messages": [{"role": "user", "content": "Hola"}], "max_tokens": 5}
        return httpx.post(f"{ui.served.url}/v1/chat/completions", json=question, headers={"X-API-Key": key}, timeout=30)

    assert ask("no-such-model").status_code == 404
    expect(page.get_by_text("The model that was asked for does not exist here.")).to_be_visible()
    expect(page.get_by_role("link", name="See the models")).to_be_visible()
    answer = ask("llama3.2:3b")
    assert answer.status_code == 200
    expect(page.get_by_text(re.compile("llama3.2:3b answered in"))).to_be_visible()
    page.get_by_role("link", name="See how it went").click()
    expect(page).to_have_url(re.compile(f"#/requests\\?id={answer.headers['x-request-id']}"))

"""Texts of strangers (names, prompts, answers, ids, errors) are shown as texts: nothing of them ever runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from playwright.sync_api import Browser, Dialog, expect

from support.browser import TOKEN, Ui, admin, signed_in, watched
from support.rogues import rogue_beside
from support.served import Served, serve

RUN = "window.ran=1"
PAYLOADS = [
    f"<script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    f"<body onload={RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<input autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<math><mi xlink:href='javascript:{RUN}'>x</mi></math>",
    f"<a href='javascript:{RUN}'>x</a>",
    f"[x](javascript:{RUN})",
    f"![x](x onerror={RUN})",
    f"[x](data:text/html,<script>{RUN}</script>)",
    f"<style>@import'javascript:{RUN}'</style>",
    f"<style onload={RUN}></style>",
    f"<link rel=stylesheet href=x onerror={RUN}>",
    f"<object data='javascript:{RUN}'></object>",
    f"<embed src='javascript:{RUN}'>",
    f"<form action='javascript:{RUN}'><button>x</button></form>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    f'"><script>{RUN}</script>',
    f"'-({RUN})-'",
    f"</script><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    "{{constructor.constructor('window.ran=1')()}}",
    f"${{{RUN}}}",
    f"<!--<img src='--><img src=x onerror={RUN}>'>",
    f"\u202e<b onmouseover={RUN}>x</b>",
]
MODEL = "<b>recite</b>:1b"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway full of such texts, before a server that answers with them."""
    with rogue_beside(models=[MODEL], prefix="<img src=x onerror=window.ran=1> ", words=4) as rogue:
        servers = [{"name": PAYLOADS[1], "url": rogue.url, "kind": "ollama", "trust": "own"}]
        config = {
            "sources": {"ollamafreeapi": {"enabled": False}},
            "allow_private_upstreams": ["127.0.0.0/8"],
            "servers": servers,
        }
        place = tmp_path_factory.mktemp("hostile")
        with serve(place, config=config, LLM_GATEWAY_ADMIN_TOKEN=TOKEN) as served:
            fill(served)
            yield served


def fill(served: Served) -> None:
    for number, payload in enumerate(PAYLOADS):
        name = f"{number} {payload}"[:100].strip()
        project = admin(served, "POST", "projects", json={"name": name, "description": payload})
        body = {"project": project["id"], "name": f"k {payload}"[:100].strip(), "description": payload}
        key = admin(served, "POST", "keys", json={name: body[name] for name in ("project", "name")})
        with suppress(httpx.HTTPStatusError):  # names of models are no free texts
            admin(
                served,
                "POST",
                "models",
                json={"name": f"{number}{payload}", "backend": [MODEL], "description": payload},
            )
        chat = {
            "model": MODEL if number % 3 else payload,
            "messages": [{"role": "user", "content": payload}],
            "metadata": {"project_context": payload, "correlation_id": payload},
            "user": payload,
        }
        httpx.post(
            f"{served.url}/v1/chat",
            json=chat,
            headers={"X-API-Key": key["key"], "X-Request-ID": payload.encode()},
            timeout=30,
        )


VIEWS = [
    *(
        "overview",
        "live",
        "requests",
        "usage",
        "projects",
        "models",
        "models?tab=catalogue",
        "fleet",
        "fleet?view=matrix",
    ),
    "connect",
    *("audit", "alerts", "users", "settings", "settings/file", "settings/doctor", "start"),
]


@pytest.mark.parametrize("view", VIEWS)
def test_no_text_of_a_stranger_runs(browser: Browser, hostile: Served, view: str) -> None:
    context = signed_in(browser, hostile)
    try:
        ui = watched(context, hostile)
        dialogs: list[Dialog] = []
        ui.page.on("dialog", lambda dialog: dialogs.append(dialog))
        ui.open(view)
        expect(ui.page.locator("main [aria-busy=true]")).to_have_count(0)
        for row in ui.page.locator("main tbody tr").all()[:6]:
            with suppress(Exception):
                row.click(timeout=1000)
            ui.page.keyboard.press("Escape")
        assert ui.page.evaluate("window.ran") is None
        assert dialogs == []
        assert ui.complaints == []
    finally:
        context.close()


def test_an_answer_in_the_playground_is_text(browser: Browser, hostile: Served) -> None:
    context = signed_in(browser, hostile)
    try:
        ui: Ui = watched(context, hostile)
        ui.open(f"playground?model={MODEL}")
        for payload in PAYLOADS:
            ui.page.get_by_label("Message").fill(payload)
            ui.page.keyboard.press("Enter")
            expect(ui.page.get_by_role("button", name="Send")).to_be_visible()
        expect(ui.page.get_by_role("link", name="What happened")).to_have_count(len(PAYLOADS))
        assert ui.page.evaluate("window.ran") is None
        assert ui.page.locator("main .markdown img, main .markdown script, main .markdown iframe").count() == 0
        assert ui.complaints == []
    finally:
        context.close()

"""A browser that is signed in to a gateway's dashboard, for `tests/browser` and the pictures of the docs."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from support.served import Served

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "ui/node_modules/axe-core/axe.min.js"
TOKEN = "an-admin-token-for-browser-tests"
CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
"""As root; and nothing that the browser does of itself leaves this machine."""
expect.set_options(timeout=15_000)


@dataclass
class Ui:
    """A browser page that is signed in, and the gateway behind it."""

    page: Page
    served: Served
    complaints: list[str] = field(default_factory=list)
    """What the browser's console said that is an error."""

    def open(self, route: str) -> None:
        """A page of the dashboard, from nothing: its heading is there."""
        self.page.goto("about:blank")  # another hash alone would leave the page before in place for a moment
        self.page.goto(f"{self.served.url}/admin/#/{route}")
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()

    def api(self, method: str, path: str, **how: Any) -> Any:
        """The admin API beside the browser, with the token."""
        return admin(self.served, method, path, **how)

    def later(self, path: str) -> Any:
        """What the admin API says of something that is there a moment later, as rows of requests are."""
        patience = time.monotonic() + 15
        while True:
            try:
                return self.api("GET", path)
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 404 or time.monotonic() > patience:
                    raise
                self.page.wait_for_timeout(50)

    def key(self) -> str:
        """The demo project's."""
        return re.findall(r"key (llmgw_\w+)", (self.served.data_dir / "first-run.txt").read_text())[0]

    def serious(self) -> list[str]:
        """What axe finds of serious and critical impact on the page, when all that fades in has come."""
        self.page.wait_for_function(
            "() => document.getAnimations().every((one) => one.effect.getComputedTiming().iterations === Infinity)"
        )
        self.page.evaluate(AXE.read_text() + "\n;0")
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]


def admin(served: Served, method: str, path: str, **how: Any) -> Any:
    answer = httpx.request(
        method, f"{served.url}/admin/api/{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, **how
    )
    answer.raise_for_status()
    return json.loads(answer.content) if answer.content else None


def signed_in(browser: Browser, served: Served, **how: Any) -> BrowserContext:
    """A browser's context with a session of its own."""
    context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1360, "height": 860}, **how})
    answer = context.request.post(
        f"{served.url}/admin/api/session", data={"token": TOKEN}, headers={"Origin": served.url}
    )
    assert answer.ok, answer.text()
    return context


def watched(context: BrowserContext, served: Served) -> Ui:
    """A page whose console is listened to."""
    ui = Ui(context.new_page(), served)

    def heard(message: ConsoleMessage) -> None:
        refused = re.search(
            r"status of (400|401|403|409|429)", message.text
        )  # the browser's word for what a form is told
        if message.type == "error" and not refused:
            ui.complaints.append(message.text)

    ui.page.on("console", heard)
    ui.page.on("pageerror", lambda error: ui.complaints.append(str(error)))
    return ui

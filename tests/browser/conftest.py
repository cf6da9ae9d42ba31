"""The dashboard as people use it: Debian's chromium before the real gateway with the demo fleet. Nothing is mocked.

def test_x(ui: Ui) -> None:            # signed in as an owner; no error may show in the browser's console
    ui.open("projects")
    ui.page.get_by_role("button", name="New project").click()
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from support.browser import CHROMIUM, FLAGS, ROOT, TOKEN, Ui, signed_in, watched
from support.served import Served, serve


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    why = None if CHROMIUM else "no chromium here (Debian package chromium)"
    if CHROMIUM and not (ROOT / "src/llm_gateway/web/static/index.html").exists():
        why = "the dashboard is not built (./run setup builds it)"
    for item in items:
        if why and item.path.is_relative_to(here):
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway with its demo fleet for all tests here; they leave it as they found it, or use names of their own."""
    place = tmp_path_factory.mktemp("browser")
    with serve(place, "--demo", LLM_GATEWAY_ADMIN_TOKEN=TOKEN) as served:
        yield served


@pytest.fixture
def ui(browser: Browser, demo: Served) -> Iterator[Ui]:
    context = signed_in(browser, demo)
    ui = watched(context, demo)
    yield ui
    context.close()
    assert not ui.complaints

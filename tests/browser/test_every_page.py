"""What holds for every page: accessible in both themes, nothing inline, small to load, and a picture for the docs."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from support.browser import ROOT, Ui, admin, signed_in, watched
from support.served import Served

PAGES = re.findall(r'{ id: "(\w+)"', (ROOT / "ui/src/pages/index.ts").read_text())
VIEWS = [*PAGES, "settings/file", "settings/doctor", "projects/demo", "fleet?view=matrix"]
PICTURES = ROOT / "docs/screenshots"
FIRST_LOAD = 250_000
"""Bytes of JavaScript, compressed, before the first page is there."""


@pytest.fixture(scope="module", params=["light", "dark"])
def themed(request: pytest.FixtureRequest, browser: Browser, demo: Served) -> Iterator[tuple[Ui, str]]:
    busy(demo, 60 if os.environ.get("TAKE_SCREENSHOTS") else 6)
    context = signed_in(browser, demo, color_scheme=request.param, reduced_motion="reduce")
    yield watched(context, demo), request.param
    context.close()


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_has_no_serious_fault_of_accessibility(themed: tuple[Ui, str], view: str, tmp_path: Path) -> None:
    ui, theme = themed
    ui.complaints.clear()
    ui.open(view)
    settled(ui)
    shown = PICTURES if os.environ.get("TAKE_SCREENSHOTS") else tmp_path
    name = re.sub(r"\W+", "-", view)
    ui.page.screenshot(path=shown / f"{name}-{theme}.png")
    assert ui.serious() == []
    assert ui.complaints == []


@pytest.mark.parametrize("view", PAGES)
def test_a_page_fits_a_phone(browser: Browser, demo: Served, view: str) -> None:
    context = signed_in(browser, demo, viewport={"width": 390, "height": 844}, has_touch=True)
    try:
        ui = watched(context, demo)
        ui.open(view)
        settled(ui)
        wider = ui.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 1, f"{view} is {wider} px wider than the screen"
    finally:
        context.close()


def test_nothing_inline_runs_and_nothing_comes_from_elsewhere(demo: Served) -> None:
    first, second = (httpx.get(f"{demo.url}/admin/") for _ in range(2))
    policy = first.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert policy != second.headers["content-security-policy"], "a nonce is used once"
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", first.text)


def test_the_first_load_is_small_and_charts_come_later(demo: Served) -> None:
    page = httpx.get(f"{demo.url}/admin/").text
    scripts = re.findall(r'(?:src|href)="\./(assets/[^"]+\.js)"', page)
    static = ROOT / "src/llm_gateway/web/static"
    languages = [f"assets/{file.name}" for file in (static / "assets").glob("en-*.js")]
    held = {name: gzip.compress((static / name).read_bytes(), 6) for name in [*scripts, *languages]}
    assert sum(map(len, held.values())) <= FIRST_LOAD, {name: len(small) for name, small in held.items()}
    assert not any(b"recharts" in (static / name).read_bytes() for name in scripts)


def test_both_languages_say_the_same_things() -> None:
    def keys(text: object, at: str = "") -> set[str]:
        if isinstance(text, dict):
            return {key for name, inner in text.items() for key in keys(inner, f"{at}.{name}")}
        return {at.removesuffix("_one").removesuffix("_other").removesuffix("_many")}

    import json

    for english in (ROOT / "ui/src").rglob("en.json"):
        spanish = english.with_name("es.json")
        assert keys(json.loads(english.read_text())) == keys(json.loads(spanish.read_text())), english


def busy(demo: Served, count: int) -> None:
    """Something to see: names of models, and requests for each model of the fleet."""
    if not admin(demo, "GET", "models")["data"]:
        law = {"name": "law-assistant", "backend": ["llama3.2:3b", "mistral:latest"], "params": {"temperature": 0.2}}
        admin(demo, "POST", "models", json=law)
        admin(demo, "POST", "models", json={"name": "fast", "backend": ["smollm2:135m"]})
    names = [one["name"] for one in admin(demo, "GET", "models")["physical"]] + ["law-assistant", "fast"]
    key = admin(demo, "POST", "keys", json={"project": "demo", "name": "pictures"})["key"]

    def ask(number: int) -> None:
        body = {"model": names[number % len(names)], "messages": [{"role": "user", "content": f"Question {number}"}]}
        httpx.post(f"{demo.url}/v1/chat/completions", json=body, headers={"X-API-Key": key}, timeout=60)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(count)))


def settled(ui: Ui) -> None:
    """Figures are there: no skeleton is left."""
    expect(ui.page.locator("main .mantine-Skeleton-root, main [aria-busy=true]")).to_have_count(0)

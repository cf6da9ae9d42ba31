"""A gateway before servers of a test's own: `with fleet_of(browser, tmp_path, endless=server) as ui: ...`"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser

from llm_gateway.testing.rogue import Rogue
from support.browser import TOKEN, Ui, signed_in, watched
from support.served import KEY, project, serve


@contextmanager
def fleet_of(browser: Browser, place: Path, **servers: Rogue) -> Iterator[Ui]:
    """The dashboard of a gateway whose fleet is these, by name; its project `tests` has the key `KEY`."""
    listed = [{"name": name, "url": server.url, "kind": "ollama", "trust": "own"} for name, server in servers.items()]
    with (
        serve(place, config=project(servers=listed), LLM_TEST_KEY=KEY, LLM_GATEWAY_ADMIN_TOKEN=TOKEN) as served,
        signed_in(browser, served) as context,
    ):
        ui = watched(context, served)
        yield ui
        assert not ui.complaints

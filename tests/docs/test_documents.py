"""The documents agree with each other and with the tree."""

from __future__ import annotations

import os
import re

import pytest
from blocks import ROOT, block, blocks, headings, links

from llm_gateway.errors import GatewayError
from llm_gateway.web.surfaces import ROUTES

PAGES = sorted(
    str(path.relative_to(ROOT)) for folder in (ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md")) for path in folder
)
STRANGERS = {
    "README.md": "Prompts to public servers go to strangers' machines over plain HTTP",
    "README.es.md": "Los prompts a servidores públicos van a máquinas de desconocidos por HTTP sin cifrar",
}


def test_both_readmes_have_the_same_headings() -> None:
    assert headings("README.md") == headings("README.es.md")


def test_both_readmes_have_the_same_code_blocks() -> None:
    assert blocks("README.md") == blocks("README.es.md")


def test_the_first_line_switches_the_language() -> None:
    assert "(README.es.md)" in (ROOT / "README.md").read_text().splitlines()[0]
    assert "(README.md)" in (ROOT / "README.es.md").read_text().splitlines()[0]


@pytest.mark.parametrize("page", STRANGERS)
def test_a_readme_says_plainly_who_reads_prompts(page: str) -> None:
    assert f"**{STRANGERS[page]}.**" in re.sub(r"\s+", " ", (ROOT / page).read_text())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    assert sorted(link for link in links(page) if not (folder / link).exists()) == []


@pytest.mark.parametrize("readme", ["README.md", "README.es.md"])
def test_every_page_is_reached_from_the_readme(readme: str) -> None:
    reached, found = set[str](), [readme]
    while found:
        page = found.pop()
        if page in reached or not page.endswith(".md"):
            continue
        reached.add(page)
        found += [os.path.relpath((ROOT / page).parent / link, ROOT) for link in links(page)]
    assert sorted(page for page in PAGES if page.startswith("docs/") and page not in reached) == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:deploy|tests|src|docs)/[\w./-]+)`", text))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_page_of_the_apis_knows_every_path() -> None:
    text = (ROOT / "docs/api.md").read_text()
    assert sorted(route.path for route in ROUTES if f"`{route.path}`" not in text.replace("POST ", "")) == []


def test_the_page_of_the_apis_knows_every_code_that_a_client_may_get() -> None:
    text = (ROOT / "docs/api.md").read_text()
    of_admins = {"conflict", "owned_by_config_file", "db_too_new", "login_failed", "too_many_failed_logins"}
    assert sorted(code for code in _codes(GatewayError) - of_admins if f"`{code}`" not in text) == []


def _codes(error: type[GatewayError]) -> set[str]:
    return {error.code}.union(*(_codes(kind) for kind in error.__subclasses__()))


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = block("README.md", ".ci/run").strip()
    assert command in (ROOT / ".ci/run").read_text().replace("\\", "")
    assert "README.md" in (ROOT / ".ci/run").read_text()


def test_the_licence_names_the_contributors() -> None:
    assert "llm-gateway-service contributors" in (ROOT / "LICENSE").read_text()


def test_the_changelog_knows_the_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert version[1] in (ROOT / "CHANGELOG.md").read_text()

"""The locks that pip reads are the lock that uv reads: same packages, versions and hashes (no uv needed to see it).

After `uv lock`: `uv export --frozen --no-dev --no-emit-project --no-annotate -o requirements.txt`, and the same with
`--all-groups -o requirements-dev.txt`. The JavaScript clients of the tests have npm's lock: tests/clients/js.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "llm-gateway-service"
LOCKED: dict[str, dict[str, Any]] = {
    package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
}


def exported(name: str) -> dict[str, tuple[str, set[str]]]:
    """Package -> version and hashes, as the requirements file has them."""
    text = "\n".join(line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#"))
    packages = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        pinned = re.match(r"([a-z0-9.-]+)==(\S+)", entry)
        assert pinned, entry
        packages[pinned[1]] = (pinned[2], set(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry)))
    return packages


def locked(needs: list[dict[str, Any]]) -> dict[str, tuple[str, set[str]]]:
    """The same for everything that these dependencies bring, as uv.lock has it."""
    found: dict[str, tuple[str, set[str]]] = {}
    seen, waiting = set(), [(need["name"], extra) for need in needs for extra in [None, *need.get("extra", [])]]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        package = LOCKED[name]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        found[name] = (package["version"], {file["hash"] for file in files})
        more = package.get("optional-dependencies", {})[extra] if extra else package.get("dependencies", [])
        waiting += [(need["name"], part) for need in more for part in [None, *need.get("extra", [])]]
    return found


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_what_the_lock_says(name: str) -> None:
    project = LOCKED[PROJECT]
    needs = list(project["dependencies"])
    if name == "requirements-dev.txt":
        needs += [need for group in project["dev-dependencies"].values() for need in group]
    assert exported(name) == locked(needs)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_package_has_hashes(name: str) -> None:
    assert [package for package, (_, hashes) in exported(name).items() if not hashes] == []


def test_the_lock_was_made_for_these_dependencies() -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = about["dependency-groups"]
    recorded = LOCKED[PROJECT]["metadata"]
    extras = {
        f"{need};extra=='{extra}'"
        for extra, needs in about["project"]["optional-dependencies"].items()
        for need in map(squeezed, needs)
    }
    assert spelled(recorded["requires-dist"]) == {squeezed(need) for need in about["project"]["dependencies"]} | extras
    for group, needs in groups.items():
        assert spelled(recorded["requires-dev"][group]) == {squeezed(need) for need in needs}


def test_at_most_fifty_packages_run_in_production() -> None:
    assert len(exported("requirements.txt")) <= 50


def test_the_clients_that_tests_drive_are_not_installed_in_production() -> None:
    clients = {"anthropic", "langchain-anthropic", "langchain-ollama", "langchain-openai", "litellm", "openai"}
    assert clients <= set(exported("requirements-dev.txt"))
    assert clients & set(exported("requirements.txt")) == set()


def test_the_javascript_clients_are_locked_with_hashes() -> None:
    folder = ROOT / "tests/clients/js"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == wanted
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, package in packages.items() if not package.get("integrity", "").startswith("sha512-")] == []


def test_the_floors_of_known_holes_are_kept() -> None:
    version = exported("requirements.txt")["starlette"][0]
    assert tuple(int(part) for part in version.split(".")) >= (1, 0, 1)


def spelled(needs: list[dict[str, Any]]) -> set[str]:
    """uv.lock's records as they stand in pyproject.toml."""
    return {
        squeezed(
            need["name"]
            + (f"[{','.join(need['extras'])}]" if need.get("extras") else "")
            + need.get("specifier", "")
            + (f";{need['marker']}" if "marker" in need else "")
        )
        for need in needs
    }


def squeezed(need: str) -> str:
    return need.replace(" ", "").replace('"', "'")

"""Recipes do what they promise: what can be run of each is run as it is printed, against a live gateway."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from llm_gateway.recipes.recipe import Filling, Recipe, script
from llm_gateway.recipes.table import RECIPES
from llm_gateway.web.surfaces import ROUTES
from support.gateway import MODEL, StartGateway, words
from support.rogues import StartRogue
from support.served import KEY

PATIENCE = 120.0
"""Seconds for a client that takes its time to be imported on a busy machine."""
NODE_MODULES = "LLM_GATEWAY_TEST_NODE_MODULES"
"""Directory with the JavaScript clients, where there is one."""
RUNNABLE = [recipe for recipe in RECIPES if any(part.runs for part in recipe.parts)]


@pytest.mark.parametrize("recipe", RUNNABLE, ids=lambda recipe: recipe.name)
async def test_a_recipe_gets_its_answer_as_it_is_printed(
    recipe: Recipe, start: StartGateway, rogue: StartRogue, tmp_path: Path
):
    missing = _missing(recipe)
    if missing:
        pytest.skip(missing)
    live = await start(await rogue())
    program = script(recipe, Filling(live.base_url, MODEL, KEY), {"python": sys.executable, "js": _node()})
    said = await _run(program, tmp_path)
    assert words().strip() in said


def test_every_library_has_a_part_that_runs():
    assert {recipe.name for recipe in RUNNABLE} >= {
        "curl", "openai-python", "openai-js", "anthropic-python", "ollama", "langchain-openai", "langchain-anthropic",
        "langchain-ollama", "llamaindex", "litellm",
    }  # fmt: skip


def _missing(recipe: Recipe) -> str:
    """Why it cannot be run here, in words; empty where it can."""
    route = recipe.endpoints[0]
    if route not in {each.path for each in ROUTES}:
        return f"this version has no {route}"
    for package in recipe.packages:
        try:
            there = find_spec(package) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            return f"{package} is not installed"
    languages = {part.language for part in recipe.parts if part.runs}
    if "js" in languages and not (shutil.which("node") and os.environ.get(NODE_MODULES)):
        return f"needs node, and {NODE_MODULES} with the package"
    if recipe.name == "curl" and shutil.which("curl") is None:
        return "curl is not installed"
    return ""


def _node() -> str:
    return "node --input-type=module"


async def _run(program: str, folder: Path) -> str:
    """What the program prints, run by a shell that knows nothing of this one's settings."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    if modules := os.environ.get(NODE_MODULES):
        (folder / "node_modules").symlink_to(modules)
    process = await asyncio.create_subprocess_exec(
        "sh", "-eu", "-c", program, cwd=folder, env=environ,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, err.decode()
    return out.decode()

"""Recipes do what they promise: what can be run of each is run as it is printed, against a live gateway, and programs
that are installed here are run with the file that `connect --write` makes for them.

None of them may call home: what can be turned off is, and where the machine allows it they are run in a network that
has only loopback, which hears what they try. Clients in JavaScript are looked for in the directory that
`LLM_GATEWAY_TEST_NODE_MODULES` names, else among those of `tests/clients/js`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

import pytest

from llm_gateway.recipes import files
from llm_gateway.recipes.recipe import KEY_VARIABLE, Filling, Recipe, script
from llm_gateway.recipes.table import RECIPES, find
from llm_gateway.web.surfaces import ROUTES
from support.gateway import MODEL, Live, StartGateway, words
from support.island import island
from support.rogues import StartRogue
from support.served import KEY

PATIENCE = 120.0
"""Seconds for a client that takes its time to be imported on a busy machine."""
NODE_MODULES = "LLM_GATEWAY_TEST_NODE_MODULES"
"""Directory with the JavaScript clients, where there is one."""
NOWHERE = "http://127.0.0.1:9"
"""A proxy that answers nobody: where there is no island, programs that call home stay here."""
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CONTINUE_METRICS_ENABLED": "0",
    "CONTINUE_TELEMETRY_ENABLED": "0",
    "DO_NOT_TRACK": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_SHARE": "1",
    "OPENCODE_PURE": "1",
    "npm_config_offline": "true",
}
"""Turns off what clients tell about their users, and what they fetch unasked."""
UNSTOPPABLE = {"continue": {"api.continue.dev"}}
"""What a program wants whatever it is told: `cn` looks for a newer version of itself."""
ROOMY = 131_072
"""Tokens of context that coding tools fill with their instructions."""
PROGRAMS = {
    "codex": "codex exec --skip-git-repo-check --profile llm-gateway -c analytics.enabled=false "
    "-c check_for_update_on_startup=false -c features.plugins=false Hola",
    "opencode": f"opencode run -m llm-gateway/{MODEL} Hola",
    "claude-code": "claude -p Hola",
    "continue": "cn -p --config ~/.continue/models/llm-gateway.yaml Hola",
    "aider": "mkdir -p ~/.aider/caches && cd ~/.aider/caches && echo '{\"nothing\": {}}' > "
    "model_prices_and_context_window.json && cd - && git init -q . && aider --yes-always --no-check-update "
    "--no-show-model-warnings --analytics-disable --message Hola",
}
"""How each is asked one question without a terminal, once its file is written."""
RUNNABLE = [recipe for recipe in RECIPES if any(part.runs for part in recipe.parts)]


@pytest.mark.parametrize("recipe", RUNNABLE, ids=lambda recipe: recipe.name)
async def test_a_recipe_gets_its_answer_as_it_is_printed(
    recipe: Recipe, start: StartGateway, rogue: StartRogue, tmp_path: Path
):
    missing = _missing(recipe)
    if missing:
        pytest.skip(missing)
    live = await start(await rogue())
    interpreters = {"python": sys.executable, "js": "node --input-type=module"}
    program = script(recipe, Filling(live.base_url, MODEL, KEY), interpreters)
    assert words().strip() in await _run(program, live, tmp_path)


@pytest.mark.parametrize("client", PROGRAMS)
async def test_a_program_gets_its_answer_with_the_file_that_was_written(
    client: str, start: StartGateway, rogue: StartRogue, tmp_path: Path
):
    recipe = find(client)
    assert recipe is not None
    assert recipe.file is not None
    command = next(word for word in PROGRAMS[client].split() if word in ("codex", "opencode", "claude", "cn", "aider"))
    if missing := _without_route(recipe):
        pytest.skip(missing)
    if shutil.which(command, path=_path()) is None:
        pytest.skip(f"{command} is not installed")
    live = await start(await rogue(context_length=ROOMY))
    work = tmp_path / "work"
    work.mkdir()
    path = files.place(recipe.file, tmp_path, work)
    files.carry_out(files.write(recipe.file, Filling(live.base_url, MODEL, KEY), path))
    known = UNSTOPPABLE.get(client, set())
    more = {"HOME": str(tmp_path), "OPENAI_API_KEY": KEY, KEY_VARIABLE: KEY}
    said = await _run(PROGRAMS[client], live, work, known, **more)
    assert words().strip() in said
    files.carry_out(files.restore(recipe.file, path))
    assert not path.exists()


async def test_whoever_calls_home_is_heard(start: StartGateway, tmp_path: Path):
    live = await start()
    async with island(live.port) as alone:
        if alone is None:
            pytest.skip("needs root, `ip` and `nsenter`")
    program = f"{sys.executable} -c 'import socket; socket.create_connection((\"home.example.com\", 80))' || true"
    with pytest.raises(AssertionError, match="it calls home"):
        await _run(program, live, tmp_path)


def test_every_library_has_a_part_that_runs():
    assert {recipe.name for recipe in RUNNABLE} >= {
        "curl", "openai-python", "openai-js", "anthropic-python", "ollama", "langchain-openai", "langchain-anthropic",
        "langchain-ollama", "llamaindex", "litellm",
    }  # fmt: skip


def _missing(recipe: Recipe) -> str:
    """Why it cannot be run here, in words; empty where it can."""
    if missing := _without_route(recipe):
        return missing
    for package in recipe.packages:
        try:
            there = find_spec(package) is not None
        except ModuleNotFoundError:  # of what it is in
            there = False
        if not there:
            return f"{package} is not installed"
    languages = {part.language for part in recipe.parts if part.runs}
    if "js" in languages and not (shutil.which("node") and _modules()):
        return f"needs node, and {NODE_MODULES} with the package"
    if recipe.name == "curl" and shutil.which("curl") is None:
        return "curl is not installed"
    return ""


def _without_route(recipe: Recipe) -> str:
    route = recipe.endpoints[0]
    return "" if route in {each.path for each in ROUTES} else f"this version has no {route}"


def _modules() -> str | None:
    own = Path(__file__).parents[2] / "clients/js/node_modules"
    return os.environ.get(NODE_MODULES) or (str(own) if own.exists() else None)


def _path() -> str:
    modules = _modules()
    return os.pathsep.join([*([f"{modules}/.bin"] if modules else []), os.environ["PATH"]])


async def _run(program: str, live: Live, folder: Path, known: Collection[str] = (), **more: str) -> str:
    """What the program prints, run by a shell that knows nothing of this one's settings. Raises AssertionError when it
    wants to talk to anybody but the gateway and those who are `known`."""
    if modules := _modules():
        (folder / "node_modules").symlink_to(modules)
    environ = {"PATH": _path(), "HOME": str(folder), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **QUIET, **more}
    async with island(live.port) as alone:
        if alone is None:
            environ |= {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE}
        process = await asyncio.create_subprocess_exec(
            *(alone.command if alone else ()), "sh", "-eu", "-c", program, cwd=folder, env=environ,
            start_new_session=True, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, err.decode()
    assert alone is None or alone.seen <= set(known), "it calls home"
    return out.decode()

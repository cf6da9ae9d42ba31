"""The page of the docs about clients, made from the table of recipes.

`python -m llm_gateway.recipes.reference` in the root of the source writes it; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llm_gateway.recipes.recipe import Filling, Recipe, fill
from llm_gateway.recipes.table import RECIPES

PAGE: Final = Path("docs/clients.md")
FILLING: Final = Filling("http://127.0.0.1:8000")
_FENCES: Final = {"text": "text", "sh": "bash", "js": "javascript"}
_INTRO: Final = """\
# Connect your tools

<!-- Made by `python -m llm_gateway.recipes.reference`; edit the recipes in `src/llm_gateway/recipes`. -->

Everything that speaks OpenAI's, Anthropic's or Ollama's API works with an address and a key. `llm-gateway connect`
lists the clients below, and `llm-gateway connect CLIENT` prints its recipe filled in: the address of the running
gateway, the first model that the project has (or `--model`), and the key that `--key` or `LLM_GATEWAY_KEY` holds, for
the gateway itself only has keys' hashes.

`--write` brings the recipe into the client's own file, and `--dry-run` shows what that would change. The rest of the
file stays as it is; what the file already sets otherwise is never overridden, but named. Files whose client can read an
environment variable name one instead of holding the key; a file that does hold it is made readable for you only. The
earlier file is kept beside it as `NAME.before-llm-gateway`, and `--restore` puts it back, byte for byte.

Which APIs there are, and how they differ from the originals: [api.md](api.md). Below, the gateway is at
`http://127.0.0.1:8000`.

| Client | What to set | Written by `--write` |
| --- | --- | --- |
"""


def page() -> str:
    """The text of docs/clients.md."""
    lines = [_INTRO.rstrip("\n")]
    for recipe in RECIPES:
        written = f"`{recipe.file.path}`" if recipe.file else ""
        lines.append(f"| [{recipe.name}](#{recipe.name}) | {brief(recipe)} | {written} |".replace("|  |", "| |"))
    for recipe in RECIPES:
        lines += ["", *_section(recipe)]
    return "\n".join(lines) + "\n"


def brief(recipe: Recipe) -> str:
    """What is set to what, with the example's address."""
    return fill(recipe.settings, "text", FILLING)


def write(root: Path) -> None:
    """The page, below the root of the source."""
    (root / PAGE).parent.mkdir(parents=True, exist_ok=True)
    (root / PAGE).write_text(page(), encoding="utf-8")


def _section(recipe: Recipe) -> Iterator[str]:
    yield f"## {recipe.name}"
    yield ""
    asks = ", ".join(f"`{path}`" for path in recipe.endpoints)
    yield f"{recipe.title}. Asks {asks}."
    for part in recipe.parts:
        yield from ("", part.says, "")
        yield f"```{_FENCES.get(part.language, part.language)}"
        yield fill(part.template, part.language, FILLING)
        yield "```"
    wants = [*recipe.needs]
    if recipe.context:
        wants.insert(0, f"At least {recipe.context:,} tokens of context.")
    if wants:
        yield ""
        yield from (f"- {want}" for want in wants)


if __name__ == "__main__":
    write(Path.cwd())

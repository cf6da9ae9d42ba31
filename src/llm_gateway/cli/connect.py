"""`llm-gateway connect`: the recipe of a client, filled in; its own file, written and put back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from llm_gateway.cli.client import Api, connect_to_server, find_server
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import Column, as_json, note, plain, table, words
from llm_gateway.recipes.recipe import CONTEXT, KEY_VARIABLE, NO_KEY, NO_MODEL, Filling, Recipe, base_of, fill, shown
from llm_gateway.recipes.table import RECIPES, find, nearest

if TYPE_CHECKING:
    from llm_gateway.config.load import Loaded
    from llm_gateway.recipes import files

_CLIENTS: Final[list[Column]] = [
    ("Client", "client"),
    ("What it is", "title"),
    ("Asks", "endpoints"),
    ("Written by --write", "file"),
]


async def connect_client(
    where: Where,
    client: Annotated[str | None, typer.Argument(help="Which client; absent: list them.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model that it shall ask; absent: the first that there is.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help=f"Key of the project; absent: {KEY_VARIABLE}, else a placeholder.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Address of the gateway; absent: where it runs."),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the recipe into the client's own file.")] = False,
    restore: Annotated[bool, typer.Option("--restore", help="Put the client's earlier file back.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --write or --restore: show what would change.")
    ] = False,
    json: Json = False,
) -> None:
    """Show how a client is connected, filled in for this gateway; write the client's own file, or put it back."""
    if client is None:
        _list(json)
        return
    recipe = _known(client)
    if write and restore:
        raise Stop("--write and --restore exclude each other.", code=Exit.USAGE)
    if dry_run and not (write or restore):
        raise Stop("--dry-run goes with --write or --restore.", code=Exit.USAGE)
    if restore:
        _put_back(recipe, dry_run=dry_run)
        return
    filling = await _filling(where, model, key, base_url)
    if recipe.context > filling.context:
        note(f"{filling.model} takes {filling.context} tokens; {recipe.title} wants at least {recipe.context}.")
    if write:
        _write(recipe, filling, dry_run=dry_run)
    elif json:
        as_json(shown(recipe, filling))
    else:
        _show(recipe, filling)


def _list(json: bool) -> None:
    rows = [
        {
            "client": recipe.name,
            "title": recipe.title,
            "endpoints": list(recipe.endpoints),
            "file": recipe.file.path if recipe.file else None,
        }
        for recipe in RECIPES
    ]
    if json:
        as_json({"data": rows})
        return
    table(_CLIENTS, rows, spare=("Asks", "Written by --write"))


def _known(client: str) -> Recipe:
    recipe = find(client)
    if recipe is None:
        near = nearest(client)
        there_are = f"There are: {', '.join(recipe.name for recipe in RECIPES)}."
        hint = f"Did you mean `{near}`? {there_are}" if near else there_are
        raise Stop(f"There is no recipe for {client[:80]!r}.", hint, code=Exit.NOT_FOUND)
    return recipe


async def _filling(where: Where, model: str | None, key: str | None, base_url: str | None) -> Filling:
    loaded = where.load()
    key = key or loaded.environ.get(KEY_VARIABLE) or None
    if key is not None and not re.fullmatch(r"[\x20-\x7e]{1,200}", key):
        raise Stop("The key must be printable ASCII characters.", code=Exit.USAGE)
    server = await find_server(loaded)
    base = _base(base_url) if base_url else _address(loaded, server.url if server else None)
    context = None
    if server is not None:
        async with connect_to_server(where) as api:
            model, context = await _model(api, model, key)
    if model is None:
        note(f"no model is known here: put the name of one in place of {NO_MODEL}, or say --model NAME.")
    return Filling(base, model or NO_MODEL, key, context or CONTEXT)


def _base(url: str) -> str:
    base = base_of(url)
    if base is None:
        raise Stop("--base-url must be an address such as https://llm.example.org.", code=Exit.USAGE)
    return base


def _address(loaded: Loaded, running: str | None) -> str:
    settings = loaded.settings
    if settings.public_url:
        return str(settings.public_url)
    if running is not None:
        return running
    note("no gateway runs on this data directory: the address is the one that it would have.")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  # not bound: replaced
    return f"http://{host}:{settings.port}"


async def _model(api: Api, asked: str | None, key: str | None) -> tuple[str | None, int | None]:
    """The model to write down and its context: the one that was asked for, else the project's first that is ready,
    as the key's project sees it; without a key, the first of all."""
    if key is not None:
        async with api.stream("GET", "/v1/models", key=key) as answer:
            await answer.aread()
            rows = answer.json()["data"]
    else:
        listed = await api.get("/admin/api/models")
        rows = [*listed["data"], *listed["physical"]]
    return _chosen(rows, asked)


def _chosen(rows: list[dict[str, Any]], asked: str | None) -> tuple[str | None, int | None]:
    if asked is not None:
        found = next((row for row in rows if row["name"] == asked), {})
        return asked, found.get("context_length")
    ready = [row for row in rows if row["healthy_servers"]] or rows
    return (ready[0]["name"], ready[0].get("context_length")) if ready else (None, None)


def _show(recipe: Recipe, filling: Filling) -> None:
    words(f"{recipe.title}")
    for part in recipe.parts:
        print()
        words(part.says)
        print()
        print(plain(fill(part.template, part.language, filling), keep="\n"))
    wants = list(recipe.needs)
    if recipe.context:
        wants.insert(0, f"At least {recipe.context} tokens of context.")
    if wants:
        print()
    for want in wants:
        words(f"- {want}")
    if filling.key is None:
        note(f"put a key in place of {NO_KEY}: `llm-gateway keys create --project NAME` makes one.")
    if recipe.file is not None:
        note(f"`llm-gateway connect {recipe.name} --write` writes {recipe.file.path}.")


def _write(recipe: Recipe, filling: Filling, *, dry_run: bool) -> None:
    if recipe.file is None:
        raise Stop(
            f"{recipe.title} has no file that could be written.",
            f"`llm-gateway connect {recipe.name}` shows what to do.",
            code=Exit.USAGE,
        )
    if filling.model == NO_MODEL:
        raise Stop("No model is known here.", "Say which: --model NAME.", code=Exit.USAGE)
    from llm_gateway.recipes import files

    try:
        path = files.place(recipe.file, _home(), Path.cwd())
        change = files.write(recipe.file, filling, path)
        if _carried_out(change, dry_run=dry_run):
            print(f"Wrote {path}.")
            words(recipe.file.then)
    except files.Refused as refused:
        raise _stop(refused) from None


def _put_back(recipe: Recipe, *, dry_run: bool) -> None:
    if recipe.file is None:
        raise Stop(f"{recipe.title} has no file that could be restored.", code=Exit.USAGE)
    from llm_gateway.recipes import files

    try:
        path = files.place(recipe.file, _home(), Path.cwd())
        change = files.restore(recipe.file, path)
        if _carried_out(change, dry_run=dry_run):
            print(f"Restored {path}." if change.after is not None else f"Removed {path}: it was not there before.")
    except files.Refused as refused:
        raise _stop(refused) from None


def _carried_out(change: files.Change, *, dry_run: bool) -> bool:
    from llm_gateway.recipes import files

    if dry_run:
        print(plain(change.diff(), keep="\n\t"), end="")
        return False
    files.carry_out(change)
    return True


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise Stop("There is no home directory.", "Set HOME.") from None


def _stop(refused: files.Refused) -> Stop:
    return Stop(refused.message, refused.hint, code=Exit.REFUSED)

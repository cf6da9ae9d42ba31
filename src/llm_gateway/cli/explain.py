"""`llm-gateway models explain`: who would serve a model now, and why not the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from llm_gateway.cli.client import connect, only_sources
from llm_gateway.cli.frame import Json, Where
from llm_gateway.cli.show import Column, Row, as_json, share, span, table, words

OUT: Final = ("resting", "quarantined", "incapable", "not_pinned", "not_permitted", "disabled")
MOST_FOREIGN: Final = 5
"""Servers of classes that are not permitted, which a person is shown."""
GUESSED: Final = "~ = a guess: nothing was seen of it yet."


async def explain_model(
    where: Where,
    name: Annotated[str, typer.Argument(help="A logical or physical name.")],
    project: Annotated[
        str | None,
        typer.Option("--project", "-p", help="As which project; absent: shared names, servers of all trust classes."),
    ] = None,
    need: Annotated[
        list[str] | None,
        typer.Option("--need", help="What a request needs: tools, vision, insert, embedding; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Explain who would serve a model now: each server with its score, or why it is out and when it is tried next."""
    async with connect(where, fleet=True) as api:
        told = await api.get(f"/admin/api/models/{quote(name, safe='')}/explain", project=project, need=need or None)
        only_sources(api)
    if json:
        as_json(told)
        return
    words(told["conclusion"])
    if told["advice"]:
        words(told["advice"])
    words(_meaning(told))
    _candidates(told, able=bool(need))


def _meaning(told: Row) -> str:
    physical = " → ".join(told["backends"])
    name = f"{told['name']} → {physical}" if told["logical"] else str(told["name"])
    whose = f"project {told['project']}" if told["project"] else "nobody in particular"
    return f"{name}, asked by {whose} (trust: {', '.join(told['trust']) or 'none'})"


def _candidates(told: Row, *, able: bool) -> None:
    listed = [{**row, "place": n} for n, row in enumerate(told["data"], 1)]
    rows, out = [r for r in listed if r["standing"] not in OUT], [r for r in listed if r["standing"] in OUT]
    model: list[Column] = [("Model", "model")] if len(told["backends"]) > 1 else []
    why: list[Column] = [("Why", _why)] if any(r["standing"] != "usable" for r in rows) else []
    if rows:
        print()
        more = [*why, *([_ABLE] if able else []), _DIGEST]
        table([*_JUDGED[:2], *model, *_JUDGED[2:], *more], rows, spare=("Digest", "Trust", "Warm"))
        if any("~" in str(column(r)) for r in rows for _, column in _JUDGED if callable(column)):
            print(GUESSED)
    if out:
        print()
        kept, left_out = _short(out)
        table([_SERVER, *model, *_OUT], kept)
        if left_out:
            print(f"{left_out} more are of trust classes that are not permitted (--json shows all).")


def _short(out: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Without the many of a class that is not permitted, and how many these are: a catalogue may list hundreds."""
    foreign = [row for row in out if row["standing"] == "not_permitted"]
    kept = [row for row in out if row not in foreign[MOST_FOREIGN:]]
    return kept, len(out) - len(kept)


def _guess(field: str, shown: Callable[[Any], str | None]) -> Callable[[Row], str]:
    known = f"{field.removesuffix('_s')}_known"
    return lambda row: f"{'' if row[known] else '~'}{shown(row[field])}"


def _wait(row: Row) -> str:
    wait = row["first_token_s"]
    return f"{wait:.2f} s" if row["first_token_known"] else f"~{wait:.0f} s"


def _why(row: Row) -> str:
    return ": ".join(part for part in (row["standing"], row["reason"]) if part) if row["standing"] != "usable" else ""


_SERVER: Final[Column] = ("Server", "server")
_DIGEST: Final[Column] = ("Digest", lambda row: row["digest"] and row["digest"][:7])
_ABLE: Final[Column] = ("Able to", lambda row: ", ".join(row["capabilities"]) or None)
_JUDGED: Final[list[Column]] = [
    ("#", "place"),
    _SERVER,
    ("Trust", "trust"),
    ("Load", lambda row: f"{row['in_flight']}/{row['limit']}"),
    ("1st token", _wait),
    ("Tok/s", _guess("tokens_per_second", lambda rate: f"{rate:.0f}")),
    ("Whole", _guess("success_rate", share)),
    ("Warm", "warm"),
    ("Cost", lambda row: f"{row['cost']:.2g}"),
]
_OUT: Final[list[Column]] = [
    ("Trust", "trust"),
    ("Out because", lambda row: row["reason"] if row["standing"] != "resting" else f"rests: {row['reason']}"),
    ("Again in", lambda row: span(row["again_in_s"])),
]

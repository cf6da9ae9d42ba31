"""The limits of projects and keys as options, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

import typer

from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.show import Column, Row, cost, moment, table, text

PANEL: Final = "Limits"
COSTS: Final = frozenset({"daily_cost", "monthly_cost"})


def _limit(help: str, metavar: str = "N") -> Any:
    return typer.Option(metavar=metavar, help=f"{help}; `none`: unlimited.", rich_help_panel=PANEL)


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """As `access.policy.LIMITS`."""

    rate_limit_per_minute: Annotated[str | None, _limit("Requests per minute")] = None
    tokens_per_minute: Annotated[str | None, _limit("Tokens per minute, of prompts and answers")] = None
    max_concurrency: Annotated[str | None, _limit("Requests at the same time")] = None
    daily_tokens: Annotated[str | None, _limit("Tokens per day (UTC)")] = None
    monthly_tokens: Annotated[str | None, _limit("Tokens per calendar month (UTC)")] = None
    daily_cost: Annotated[str | None, _limit("Cost per day, in the unit of the models' prices", "COST")] = None
    monthly_cost: Annotated[str | None, _limit("Cost per calendar month", "COST")] = None

    def fields(self) -> dict[str, Any]:
        """The API's fields, of the options that were used. Raises Stop."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: _number(text, name) for name, text in given.items() if text is not None}


def _number(text: str, name: str) -> int | float | None:
    if text.strip().lower() in ("none", "unlimited"):
        return None
    cost = name in COSTS
    try:
        number: int | float = float(text) if cost else int(text)
    except ValueError:
        number = 0
    if not (0 < number < float("inf") if cost else number >= 1):
        option, wanted = "--" + name.replace("_", "-"), "a number above 0" if cost else "a whole number from 1"
        raise Stop(f"{option} must be {wanted}, or `none`; not {text[:40]!r}.", code=Exit.USAGE)
    return number


TITLES: Final = {
    "rate_limit_per_minute": "Requests per minute",
    "tokens_per_minute": "Tokens per minute",
    "max_concurrency": "Requests at the same time",
    "daily_tokens": "Tokens per day",
    "monthly_tokens": "Tokens per month",
    "daily_cost": "Cost per day",
    "monthly_cost": "Cost per month",
}


def _amount(name: str, value: float) -> float | str:
    """Of a cost as many digits as it has; of tokens whole ones."""
    if name in COSTS:
        return cost(value) or "0"
    return int(value) if value == int(value) else value


def _of(name: str) -> Column:
    return TITLES[name], lambda row: "unlimited" if row[name] is None else _amount(name, row[name])


SET: Final[list[Column]] = [_of(name) for name in TITLES]
"""Of a project or key: what each limit is."""
_SHORT: Final = {
    "rate_limit_per_minute": "{}/min",
    "tokens_per_minute": "{} tokens/min",
    "max_concurrency": "{} at once",
    "daily_tokens": "{} tokens/day",
    "monthly_tokens": "{} tokens/month",
    "daily_cost": "{} cost/day",
    "monthly_cost": "{} cost/month",
}


def _in_short(row: Row) -> str:
    set_ = [(name, row[name]) for name in _SHORT if row[name] is not None]
    return ", ".join(_SHORT[name].format(text(_amount(name, value))) for name, value in set_) or "none"


IN_SHORT: Final[Column] = ("Limits", _in_short)
"""Of lists: all limits that there are."""
COLUMNS: Final[list[Column]] = [
    ("Limit", lambda f: TITLES[f["name"]]),
    ("Of", lambda f: _amount(f["name"], f["limit"])),
    ("Used", lambda f: _amount(f["name"], f["used"])),
    ("Reserved", lambda f: None if f["reserved"] is None else _amount(f["name"], f["reserved"])),
    ("Begins anew", moment("resets_at")),
]


def show_used(found: dict[str, Any]) -> None:
    """A table of what `…/limits` of the API says; nothing where nothing is limited."""
    if found["data"]:
        print()
        table(COLUMNS, found["data"], empty="", spare=("Begins anew",))

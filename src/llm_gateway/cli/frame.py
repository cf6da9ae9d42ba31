"""How a command is declared, and the options that all commands share.

A command is a function; its parameters are its options, as Typer reads them. A parameter whose type is a dataclass
stands for the options that are the dataclass's fields: `Filters` of the log, `Where` (every command takes its options,
also one that has no use for them). A command that waits for the network is a coroutine function.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from llm_gateway.config.load import Loaded

F = TypeVar("F", bound=Callable[..., Any])

EVERYWHERE: Final = "Everywhere"
_UNUSED: Final = "_where"
Json = Annotated[bool, typer.Option("--json", help="Print JSON, the admin API's own where it has it.")]


@dataclass(frozen=True, slots=True)
class Where:
    """Which gateway a command is about. Every command takes these options, before and after its name."""

    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Config file (YAML).", rich_help_panel=EVERYWHERE),
    ] = None
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Directory for state.", rich_help_panel=EVERYWHERE),
    ] = None

    def over(self, outer: object) -> Where:
        """What was said nearer to the command wins."""
        if not isinstance(outer, Where):
            return self
        return Where(self.config or outer.config, self.data_dir or outer.data_dir)

    def load(self, **flags: object) -> Loaded:
        """The settings with these flags. Raises ConfigMistakes."""
        from llm_gateway.config.load import load

        return load({"data_dir": self.data_dir, **flags}, environ=os.environ, cwd=Path.cwd(), config=self.config)


class Group(typer.Typer):
    """A group of commands. Declares them with `@group.command("name")`, and takes the options of `Where` itself."""

    def __init__(self, help: str, **more: Any) -> None:
        super().__init__(help=help, no_args_is_help=True, pretty_exceptions_enable=False, **more)
        self.callback()(_spread(_remember))

    def command(self, name: str | None = None, **more: Any) -> Callable[[F], F]:
        declare = super().command(name, **more)

        def declared(function: F) -> F:
            declare(_spread(function))
            return function

        return declared


def _remember(ctx: typer.Context, where: Where) -> None:
    ctx.obj = where


def _spread(function: Callable[..., Any]) -> Callable[..., None]:
    """The function as Typer shall see it: dataclasses opened into options, coroutines run to their end."""
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    bundles = {name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)}
    if Where not in bundles.values():
        bundles[_UNUSED] = Where
    parameters = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=parameter.default, annotation=hints.get(name, typer.Context)
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in bundles
    ]
    for kind in bundles.values():
        inner = get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=inner[f.name])
            for f in fields(kind)
        ]
    takes_context = "ctx" in hints
    if not takes_context:
        parameters.append(inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))

    def run(**given: Any) -> None:
        context = given["ctx"] if takes_context else given.pop("ctx")
        for name, kind in bundles.items():
            given[name] = kind(**{f.name: given.pop(f.name) for f in fields(kind)})
            if kind is Where:
                given[name] = given[name].over(context.obj)
        given.pop(_UNUSED, None)
        ended = function(**given)
        if inspect.iscoroutine(ended):
            import asyncio

            asyncio.run(ended)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # how `inspect` is told
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run

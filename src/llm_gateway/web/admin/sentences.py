"""What the admin API says to people, as programs that say it in another language read it: the dashboard does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, overload

from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.findings import FINDINGS, FIXES, FindingCode, FixCode
from llm_gateway.fleet.conclusion import CONCLUSIONS, ConclusionCode
from llm_gateway.fleet.explain import REASONS, ReasonCode
from llm_gateway.said import Said, Template

AdviceCode = Literal[
    "project_is_disabled", "permit_in_file", "permit", "enable", "map_again", "probe_all", "tools_are_refused"
]
ADVICE: Final[dict[AdviceCode, Template]] = {
    "project_is_disabled": "Project `{project}` is disabled: its requests are refused, whoever could serve them.",
    "permit_in_file": (
        "The `trust` of project `{project}` in the config file, with {trust} added, permits it: such servers then see "
        "its prompts."
    ),
    "permit": "`{command}` permits it: such servers then see its prompts.",
    "enable": "`{command}` puts it back into service.",
    "map_again": "`{command}` gives the name another meaning.",
    "probe_all": "`{command}` asks all servers what they hold.",
    "tools_are_refused": "Requests with tools are refused: only public servers hold it, and `public_tools` is off.",
}
SENTENCES: Final[tuple[Mapping[Any, Template], ...]] = (REASONS, CONCLUSIONS, ADVICE, FINDINGS, FIXES)
"""All of them, by their codes; no code is there twice."""


class Sentence(TypedDict):
    """A sentence in English, and what says the same in another language."""

    code: Annotated[
        ReasonCode | ConclusionCode | AdviceCode | FindingCode | FixCode,
        Field(description="Programs test it. There may be new ones: these are said by their text."),
    ]
    values: Annotated[
        dict[str, str | int | float | list[str]],
        Field(description="By name. `seconds` is a number, `fault` a kind of fault, `part` what of a server rests."),
    ]
    text: str


@overload
def sentence(said: Said[Any]) -> Sentence: ...
@overload
def sentence(said: Said[Any] | None) -> Sentence | None: ...
def sentence(said: Said[Any] | None) -> Sentence | None:
    if said is None:
        return None
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in said.values.items()}
    return Sentence(code=said.code, values=values, text=said.text)

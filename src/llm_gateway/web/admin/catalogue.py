"""The catalogue: which physical models there are in the fleet, by family, size, abilities and state."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Query

from llm_gateway.errors import InvalidRequest
from llm_gateway.service.catalogue import Catalogue, Wanted, search
from llm_gateway.web.admin.common import Live, admin_router
from llm_gateway.wire.models import CAPABILITIES

router = admin_router("catalogue")

MOST_WORDS: Final = 10
_COUNT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmbt]?)", re.IGNORECASE)
_FACTOR: Final = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}

Values = Annotated[list[Annotated[str, Query(max_length=100)]] | None, Query(max_length=50)]


@router.get("", summary="Search the physical models of the fleet")
async def search_catalogue(
    running: Live,
    q: Annotated[str, Query(max_length=200, description="Words of the name or the family, all of them.")] = "",
    family: Annotated[Values, Query(description="May be repeated.")] = None,
    min_parameters: Annotated[str | None, Query(max_length=30, description="A number, or `7b`.")] = None,
    max_parameters: Annotated[str | None, Query(max_length=30)] = None,
    quantization: Annotated[Values, Query(description="As `Q4_K_M`; may be repeated.")] = None,
    min_context: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Tokens.")] = None,
    capability: Annotated[Values, Query(description=f"All of them: {', '.join(CAPABILITIES)}.")] = None,
    healthy: Annotated[bool, Query(description="Only what a healthy server holds now.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Catalogue:
    """From memory. `facets` count what matched, `twins` are other names of the very same file."""
    for each in capability or ():
        if each not in CAPABILITIES:
            there_are = ", ".join(CAPABILITIES)
            raise InvalidRequest(f"`capability` must be one of {there_are}; you sent {each!r}.", param="capability")
    wanted = Wanted(
        words=q.lower().split()[:MOST_WORDS],
        families=frozenset(each.lower() for each in family or ()),
        quantizations=frozenset(each.lower() for each in quantization or ()),
        capabilities=frozenset(capability or ()),
        min_parameters=_count(min_parameters, "min_parameters"),
        max_parameters=_count(max_parameters, "max_parameters"),
        min_context=min_context,
        healthy=healthy,
    )
    return search(running.gateway, wanted, limit)


def _count(text: str | None, param: str) -> float | None:
    """`7b`, `1.5B`, `7000000000`. Raises InvalidRequest."""
    if text is None:
        return None
    found = _COUNT.fullmatch(text.strip())
    if found is None:
        raise InvalidRequest(f"`{param}` must be a number such as 7b or 350m; you sent {text!r}.", param=param)
    return float(found[1]) * _FACTOR[found[2].lower()]

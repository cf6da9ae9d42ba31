"""The physical models that the fleet holds, searched: always from memory, also among five hundred servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from typing_extensions import TypedDict

from llm_gateway.fleet.canary import parameters
from llm_gateway.fleet.fleet import EVERYBODY
from llm_gateway.fleet.server import ModelState
from llm_gateway.gateway import Gateway
from llm_gateway.names import canonical, unpinned
from llm_gateway.service.models import healthy_servers

MOST_TWINS: Final = 20
"""Other names of a model that are listed, and logical names that mean it."""
MOST_VALUES: Final = 50
"""Of a facet."""


class LogicalName(TypedDict):
    name: str
    project: str | None
    """None = shared by all."""


class CatalogueModel(TypedDict):
    name: str
    family: str | None
    parameters: int | None
    """How many, by what servers say and by the name."""
    parameter_size: str | None
    quantization: str | None
    context_length: int | None
    capabilities: list[str]
    size_bytes: int | None
    digests: dict[str, int]
    """Digest -> servers that list it."""
    trust: list[str]
    servers: int
    healthy_servers: int
    quarantined_servers: int
    twins: list[str]
    """Other names that servers list with one of its digests."""
    logical: list[LogicalName]


class Facet(TypedDict):
    value: str
    count: int


class Facets(TypedDict):
    family: list[Facet]
    quantization: list[Facet]
    capability: list[Facet]


class Catalogue(TypedDict):
    data: list[CatalogueModel]
    matched: int
    """How many there are beyond `limit`, too."""
    total: int
    """Of all models, matching or not."""
    facets: Facets
    """Of all that matched."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; what is empty or None is not asked for."""

    words: Sequence[str] = ()
    """Each of them in the name or the family."""
    families: frozenset[str] = frozenset()
    """Lower case, as `quantizations`."""
    quantizations: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    """All of them."""
    min_parameters: float | None = None
    max_parameters: float | None = None
    min_context: int | None = None
    healthy: bool = False

    def fits(self, model: CatalogueModel) -> bool:
        family = (model["family"] or "").lower()
        text = f"{model['name'].lower()} {family}"
        count, context = model["parameters"] or 0, model["context_length"] or 0
        return (
            all(word in text for word in self.words)
            and (not self.families or family in self.families)
            and (not self.quantizations or (model["quantization"] or "").lower() in self.quantizations)
            and self.capabilities <= set(model["capabilities"])
            and (self.min_parameters is None or count >= self.min_parameters)
            and (self.max_parameters is None or 0 < count <= self.max_parameters)
            and (self.min_context is None or context >= self.min_context)
            and (not self.healthy or model["healthy_servers"] > 0)
        )


def search(gw: Gateway, wanted: Wanted, limit: int) -> Catalogue:
    """Those on most healthy servers first."""
    known = list(_models(gw))
    found = [model for model in known if wanted.fits(model)]
    found.sort(key=lambda model: (-model["healthy_servers"], -model["servers"], model["name"]))
    return {
        "data": found[:limit],
        "matched": len(found),
        "total": len(known),
        "facets": {
            "family": _facet(model["family"] for model in found),
            "quantization": _facet(model["quantization"] for model in found),
            "capability": _facet(able for model in found for able in model["capabilities"]),
        },
    }


def _models(gw: Gateway) -> Iterable[CatalogueModel]:
    now = gw.clock.now()
    healthy, logical = healthy_servers(gw, EVERYBODY, now), _logical(gw)
    listings = [(name, trusts, gw.fleet.listing(name)) for name, trusts in gw.fleet.names()]
    named: dict[str, dict[str, None]] = {}
    for name, _, listing in listings:
        for digest in {state.listed.digest for state in listing if state.listed.digest}:
            named.setdefault(digest, {})[name] = None
    for name, trusts, listing in listings:
        digests = Counter(state.listed.digest for state in listing if state.listed.digest)
        details = gw.fleet.details(name)
        twins = sorted({other for digest in digests for other in named[digest]} - {name})
        yield {
            "name": name,
            "family": details.family if details else None,
            "parameters": (round(parameters(details)) or None) if details else None,
            "parameter_size": details.parameter_size if details else None,
            "quantization": details.quantization if details else None,
            "context_length": details.context_length if details else None,
            "capabilities": list(details.capabilities) if details else [],
            "size_bytes": _size(listing),
            "digests": {str(digest): count for digest, count in digests.most_common(MOST_TWINS)},
            "trust": sorted(trusts),
            "servers": len(listing),
            "healthy_servers": healthy[canonical(name)],
            "quarantined_servers": sum(1 for state in listing if state.quarantined(now) is not None),
            "twins": twins[:MOST_TWINS],
            "logical": logical.get(canonical(name), [])[:MOST_TWINS],
        }


def _size(listing: Sequence[ModelState]) -> int | None:
    """What most servers say."""
    told = Counter(state.listed.size for state in listing if state.listed.size)
    return told.most_common(1)[0][0] if told else None


def _logical(gw: Gateway) -> dict[str, list[LogicalName]]:
    """Canonical physical name -> the logical names that map to it, pinned or not."""
    found: dict[str, list[LogicalName]] = {}
    projects = gw.snapshot.projects
    for (project_id, name), exposure in gw.snapshot.exposures.items():
        of = projects[project_id].name if project_id is not None and project_id in projects else None
        for backend in dict.fromkeys(map(unpinned, exposure.backend)):
            found.setdefault(backend, []).append({"name": name, "project": of})
    return found


def _facet(values: Iterable[str | None]) -> list[Facet]:
    counted = Counter(value for value in values if value)
    return [{"value": value, "count": count} for value, count in counted.most_common(MOST_VALUES)]

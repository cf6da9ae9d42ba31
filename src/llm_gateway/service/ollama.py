"""What Ollama's lists say of a project's models, from memory: no server is asked.

A logical name is a model like any other here; its figures are those of the model that serves it now. What no server
has told is left out, except where Ollama's own programs cannot do without: they cut a digest in twelve characters and
reckon with a size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from llm_gateway.access.policy import Project, Trust
from llm_gateway.exposures import Visible
from llm_gateway.fleet.facts import ListedModel
from llm_gateway.fleet.server import ModelState
from llm_gateway.gateway import Gateway
from llm_gateway.names import canonical
from llm_gateway.service import models
from llm_gateway.wire.ollama_frames import moment
from llm_gateway.wire.params import PARAMS

VERSION: Final = "0.33.0"
"""The version of Ollama whose API this is. Clients refuse to talk to old ones."""
NEVER: Final = "0001-01-01T00:00:00Z"
"""Go's zero time, which Ollama's clients read as unknown."""
CAPABILITIES: Final = ("completion",)
"""Of a model of which no server tells any: what every model here can be asked for."""


def tags(gw: Gateway, project: Project) -> list[dict[str, Any]]:
    """`GET /api/tags`: logical names first, then physical ones; also those that no healthy server holds now."""
    return [_tag(_listed(gw, project, entry), entry) for entry in models.visible(gw, project)]


def loaded(gw: Gateway, project: Project) -> list[dict[str, Any]]:
    """`GET /api/ps`: what healthy servers have in memory, as far as is known, by all names that the project has for it.

    `expires_at` is when that belief ends: a server may keep a model for longer. How much of it lies in a GPU's memory
    is not known, so there is no `size_vram`.
    """
    now = gw.clock.now()
    found: list[dict[str, Any]] = []
    for visible in gw.visible(project):
        warm = list(_warm(gw, visible, project.trust, now))
        if not warm:
            continue
        latest = max(warm, key=lambda model: model.warm_until)
        entry = _facts(visible.name, latest.listed)
        entry["expires_at"] = _moment(gw.clock.wall() + latest.warm_until - now)
        if latest.listed.context_length:
            entry["context_length"] = latest.listed.context_length
        found.append(entry)
    return found


def show(gw: Gateway, project: Project, asked: str) -> dict[str, Any]:
    """`POST /api/show`. Raises ModelNotFound that lists what is exposed, NoPermittedUpstream."""
    entry = models.one(gw, project, asked)
    listed = _listed(gw, project, entry)
    return {
        "modelfile": f"# A model behind an LLM gateway.\nFROM {entry['name']}\n",
        "parameters": _parameters(entry["default_params"]),
        "template": "",
        "details": _details(listed),
        "model_info": _model_info(entry["name"], listed),
        "capabilities": list(listed.capabilities or CAPABILITIES),
        "modified_at": _moment(entry["created"]),
    }


def _warm(gw: Gateway, visible: Visible, trust: frozenset[Trust], now: float) -> Iterable[ModelState]:
    for backend in visible.backends:
        for model in gw.fleet.listing(backend):
            asked = model.server.spec.trust in trust and model.server.state(now) == "healthy"
            if asked and model.warm(now) and not model.resting(now) and model.quarantined(now) is None:
                yield model


def _tag(listed: ListedModel, entry: Mapping[str, Any]) -> dict[str, Any]:
    tag = _facts(entry["name"], listed)
    tag["modified_at"] = _moment(entry["created"])
    if listed.context_length:
        tag["details"]["context_length"] = listed.context_length
    if listed.embedding_length:
        tag["details"]["embedding_length"] = listed.embedding_length
    if listed.capabilities:
        tag["capabilities"] = list(listed.capabilities)
    return tag


def _listed(gw: Gateway, project: Project, entry: Mapping[str, Any]) -> ListedModel:
    """What servers that the project may use tell of the model that serves an entry of `models.visible`."""
    serving: str = entry["backend_model"]
    return gw.fleet.details(serving, project.trust) or ListedModel(serving)


def _facts(name: str, listed: ListedModel) -> dict[str, Any]:
    """A digest that no server tells is made of the name: as stable as the model is known to be."""
    digest = listed.digest or hashlib.sha256(canonical(listed.name).encode("utf-8", "replace")).hexdigest()
    return {
        "name": name,
        "model": name,
        "size": listed.size or 0,
        "digest": digest,
        "details": _details(listed),
    }


def _details(listed: ListedModel) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf" if listed.digest else "",
        "family": listed.family or "",
        "families": [listed.family] if listed.family else [],
        "parameter_size": listed.parameter_size or "",
        "quantization_level": listed.quantization or "",
    }


def _model_info(name: str, listed: ListedModel) -> dict[str, Any]:
    """Clients find the context by the architecture's name; Ollama's own word for one that it cannot tell is unknown."""
    architecture = listed.architecture or listed.family or "unknown"
    info: dict[str, Any] = {
        "general.architecture": architecture,
        "general.basename": listed.basename or name.rpartition("/")[2].partition(":")[0],
    }
    if listed.context_length:
        info[f"{architecture}.context_length"] = listed.context_length
    if listed.embedding_length:
        info[f"{architecture}.embedding_length"] = listed.embedding_length
    return info


def _parameters(params: Mapping[str, Any]) -> str:
    """The defaults of a logical name, a line for each value, as in a Modelfile; texts are quoted."""
    lines = [
        f"{spec.ollama:<30} {json.dumps(value, ensure_ascii=False) if isinstance(value, str) else value}"
        for name, spec in PARAMS.items()
        if spec.ollama and name in params
        for value in (params[name] if isinstance(params[name], list) else [params[name]])
    ]
    return "\n".join(lines)


def _moment(seconds: float) -> str:
    return moment(seconds) if seconds > 0 else NEVER

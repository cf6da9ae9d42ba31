"""Model lists of servers -> plain entries. Tolerant: a field that is missing or absurd is None, never an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.decoding import BadJson, decode_answer
from llm_gateway.wire.faults import error_in_frame, fault_of_error
from llm_gateway.wire.neutral import Json

MAX_NAME: Final = 256
"""Characters; a longer model name is not believed."""

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class ModelEntry(msgspec.Struct, frozen=True):
    """A model as a server lists it. None = the server does not say."""

    name: str
    digest: str | None = None
    """Bare hex SHA-256 of the manifest."""
    family: str | None = None
    parameter_size: str | None = None
    quantization: str | None = None
    context_length: int | None = None
    size: int | None = None
    """Bytes."""
    capabilities: tuple[str, ...] = ()


def read_tags(body: bytes) -> tuple[ModelEntry, ...]:
    """Ollama's `GET /api/tags`. Raises Fault(NOT_THE_PROTOCOL) when it is not such a list, or what its error says."""
    return _read(body, ("models",), _tag)


def read_models(body: bytes) -> tuple[ModelEntry, ...]:
    """OpenAI's `GET /v1/models`, from whoever imitates it. Raises as `read_tags`."""
    return _read(body, ("data", "models"), _listed)


def _read(
    body: bytes, keys: tuple[str, ...], entry: Callable[[dict[str, Json]], ModelEntry | None]
) -> tuple[ModelEntry, ...]:
    try:
        value = decode_answer(body)
    except BadJson as bad:
        raise Fault(FaultKind.NOT_THE_PROTOCOL, f"the model list {bad.sentence}") from None
    if isinstance(value, dict):
        key = next((key for key in keys if key in value), None)
        if key is None:
            if (error := error_in_frame(value)) is not None:
                raise fault_of_error(error)
            raise Fault(FaultKind.NOT_THE_PROTOCOL, f"the model list has no {' or '.join(keys)}")
        value = value[key] or []  # Go's empty list is null
    if not isinstance(value, list):
        raise Fault(FaultKind.NOT_THE_PROTOCOL, "the model list is not a list")
    found: dict[str, ModelEntry] = {}
    for item in value:
        if isinstance(item, dict) and (model := entry(item)) is not None:
            found.setdefault(model.name, model)
    return tuple(found.values())


def _tag(item: dict[str, Json]) -> ModelEntry | None:
    name = _name(item.get("model")) or _name(item.get("name"))
    if name is None:
        return None
    details = item.get("details")
    details = details if isinstance(details, dict) else {}
    digest = item.get("digest")
    known = _DIGEST.fullmatch(digest.lower()) if isinstance(digest, str) else None
    return ModelEntry(
        name=name,
        digest=known[1] if known else None,
        family=_text(details.get("family")),
        parameter_size=_text(details.get("parameter_size")),
        quantization=_text(details.get("quantization_level")),
        context_length=_count(details.get("context_length")),
        size=_count(item.get("size")),
        capabilities=_texts(item.get("capabilities")),
    )


def _listed(item: dict[str, Json]) -> ModelEntry | None:
    name = _name(item.get("id")) or _name(item.get("name"))
    if name is None:
        return None
    meta = item.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    # vLLM; llama.cpp's context in effect, not the one it was trained for; OpenRouter
    windows = (item.get("max_model_len"), meta.get("n_ctx"), item.get("context_length"))
    return ModelEntry(
        name=name,
        quantization=_text(meta.get("ftype")),
        context_length=next((count for window in windows if (count := _count(window))), None),
        size=_count(meta.get("size")),
        capabilities=_texts(item.get("capabilities")),
    )


def _name(value: Json) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() else None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value != "unknown" else None


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(text for item in value if (text := _text(item))) if isinstance(value, list) else ()


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else None

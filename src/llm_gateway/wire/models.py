"""What servers say of their models: lists, and what one of them is shown as. Tolerant: a field that is missing or
absurd is None, never an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.decoding import BadJson, decode_answer
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.faults import error_in_frame, fault_of_error
from llm_gateway.wire.neutral import Json

MAX_NAME: Final = 256
"""Characters; a longer model name is not believed."""

CAPABILITIES: Final = ("completion", "tools", "insert", "vision", "embedding", "thinking")
"""By Ollama's names: what requests may need, or wish for."""
MOST_CAPABILITIES: Final = 16

_OTHER_NAMES: Final = {
    **dict.fromkeys(("chat", "completions", "text_generation", "completion_chat"), "completion"),
    **dict.fromkeys(("tool_use", "tool-use", "function_calling", "tool_calling"), "tools"),
    **dict.fromkeys(("fim", "infill", "completion_fim"), "insert"),
    "multimodal": "vision",
    **dict.fromkeys(("embeddings", "text_embeddings"), "embedding"),
    "reasoning": "thinking",
}
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
    """Those of `CAPABILITIES` first, in that order; empty = the server does not say."""
    embedding_length: int | None = None
    """Numbers of an embedding."""


class ModelShow(msgspec.Struct, frozen=True):
    """What a server shows of one model (Ollama's `POST /api/show`)."""

    capabilities: tuple[str, ...] = ()
    """As of `ModelEntry`; servers before 0.6.4 do not say."""
    architecture: str | None = None
    basename: str | None = None
    context_length: int | None = None
    """That the model was trained for."""
    embedding_length: int | None = None

    @classmethod
    def kept(cls, values: dict[str, Json]) -> ModelShow:
        """From its fields as plain JSON values; what is none of them is left out."""
        return cls(
            _capabilities(values.get("capabilities")),
            _text(values.get("architecture")),
            _text(values.get("basename")),
            _count(values.get("context_length")),
            _count(values.get("embedding_length")),
        )


def write_show(model: str) -> bytes:
    """The body of `POST /api/show`."""
    return encode({"model": model})


def read_show(body: bytes) -> ModelShow:
    """Its answer. Raises Fault(NOT_THE_PROTOCOL) when it is none, or what its error says."""
    try:
        value = decode_answer(body)
    except BadJson as bad:
        raise Fault(FaultKind.NOT_THE_PROTOCOL, f"what it shows of a model {bad.sentence}") from None
    if not isinstance(value, dict):
        raise Fault(FaultKind.NOT_THE_PROTOCOL, "what it shows of a model is no object")
    if (error := error_in_frame(value)) is not None:
        raise fault_of_error(error)
    info, details = _dict(value.get("model_info")), _dict(value.get("details"))
    architecture = _text(info.get("general.architecture")) or _text(details.get("family"))
    return ModelShow(
        capabilities=_capabilities(value.get("capabilities")),
        architecture=architecture,
        basename=_text(info.get("general.basename")),
        context_length=_of_architecture(info, architecture, "context_length"),
        embedding_length=_of_architecture(info, architecture, "embedding_length"),
    )


def _of_architecture(info: dict[str, Json], architecture: str | None, what: str) -> int | None:
    """`llama.context_length` of a llama; of a model of several parts (`clip.vision.…`) it is not the longest."""
    if (count := _count(info.get(f"{architecture}.{what}"))) is not None:
        return count
    found = (_count(value) for name, value in info.items() if name.count(".") == 1 and name.endswith(f".{what}"))
    return next((count for count in found if count is not None), None)


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
    details = _dict(item.get("details"))
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
        capabilities=_capabilities(item.get("capabilities")),
        embedding_length=_count(details.get("embedding_length")),
    )


def _listed(item: dict[str, Json]) -> ModelEntry | None:
    name = _name(item.get("id")) or _name(item.get("name"))
    if name is None:
        return None
    meta = _dict(item.get("meta"))
    capabilities = _capabilities(item.get("capabilities"))
    # vLLM; llama.cpp's context in effect, not the one it was trained for; OpenRouter
    windows = (item.get("max_model_len"), meta.get("n_ctx"), item.get("context_length"))
    return ModelEntry(
        name=name,
        quantization=_text(meta.get("ftype")),
        context_length=next((count for window in windows if (count := _count(window))), None),
        size=_count(meta.get("size")),
        # llama.cpp tells of completion and images only, which says nothing about tools
        capabilities=() if {*capabilities} <= {"completion", "vision"} else capabilities,
        embedding_length=_count(meta.get("n_embd")),
    )


def _name(value: Json) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() else None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value != "unknown" else None


def _capabilities(value: Json) -> tuple[str, ...]:
    """From a list of names, or (Mistral) an object of names that are true or false."""
    names = [name for name, has in value.items() if has is True] if isinstance(value, dict) else value
    if not isinstance(names, list):
        return ()
    said = [_OTHER_NAMES.get(text.lower(), text.lower()) for name in names if (text := _text(name))]
    known = [capability for capability in CAPABILITIES if capability in said]
    return tuple(dict.fromkeys([*known, *said]))[:MOST_CAPABILITIES]


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else None

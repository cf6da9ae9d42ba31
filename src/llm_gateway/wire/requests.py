"""Fields of a chat request that the gateway's own API and OpenAI's share: model, parameters, metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.fields import as_object, at_most, optional, required, short_text
from llm_gateway.wire.neutral import ChatRequest, Json
from llm_gateway.wire.params import check_param

MAX_TOOLS: Final = 1_000
MAX_MODEL_NAME: Final = 256
MAX_TAG: Final = 512
MAX_CONTEXT: Final = 4096
"""Characters that the request log keeps of a name, a tag, a project context."""


def read_model(body: dict[str, Json]) -> str:
    name = required(body, "model", str)
    if not name.strip():
        raise InvalidRequest("`model` is empty: name a model, e.g. one that GET /v1/models lists.", param="model")
    if len(name) > MAX_MODEL_NAME:
        raise InvalidRequest(f"`model` is longer than {MAX_MODEL_NAME} characters.", param="model")
    return name


def read_params(body: dict[str, Json], names: Iterable[str]) -> dict[str, Json]:
    """The parameters among `names` that the caller set, checked and in canonical type."""
    params = {name: check_param(name, value) for name in names if name in body and (value := body[name]) is not None}
    if params.get("stop") == []:
        del params["stop"]
    return params


def read_tools(fields: dict[str, Json]) -> list[Json]:
    """`tools` in OpenAI's shape, which is Ollama's, too. Raises InvalidRequest, UnsupportedParameter."""
    tools = optional(fields, "tools", list) or []
    at_most(MAX_TOOLS, tools, "tools")
    for n, item in enumerate(tools):
        path = f"tools[{n}]"
        tool = as_object(item, path)
        kind = optional(tool, "type", str, path) or "function"
        if kind != "function":
            raise UnsupportedParameter(f"`{path}.type` {kind[:40]!r} is not supported; use function.", param=path)
        required(required(tool, "function", dict, path), "name", str, f"{path}.function")
    return tools


def read_metadata(body: dict[str, Json], ask: ChatRequest) -> None:
    """`metadata` -> the fields of `ask` that are kept with the log row. Other keys are the caller's own business."""
    metadata = optional(body, "metadata", dict) or {}
    ask.correlation_id = short_text(metadata, "correlation_id", MAX_TAG, "metadata")
    ask.project_context = short_text(metadata, "project_context", MAX_CONTEXT, "metadata")
    ask.end_user = short_text(metadata, "user_id", MAX_TAG, "metadata")


def text_size(ask: ChatRequest, size: int) -> int:
    """How many bytes of a body of `size` bytes, read as `ask`, are not the data of images."""
    return size - sum(len(image) for message in ask.messages for image in message.images)

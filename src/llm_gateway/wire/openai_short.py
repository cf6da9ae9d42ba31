"""What most requests in OpenAI's shape are, read in one go: texts, and how to answer them.

It takes half of what the general way does (`openai.read_request`), which alone knows what else there may be, and says
what is wrong.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.decoding import fraction
from llm_gateway.wire.messages import SPEAKERS
from llm_gateway.wire.neutral import ChatRequest, Json, Message
from llm_gateway.wire.params import check_param
from llm_gateway.wire.requests import MAX_MODEL_NAME

LARGEST: Final = 64 * 1024
"""Bytes of a body that is tried: what turns out to be no such request has cost little then, and in so few there is
nothing that would have to be counted first."""


class _Said(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class _Options(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    include_usage: bool | None = None


class _Short(msgspec.Struct, forbid_unknown_fields=True):
    """Numbers are not typed here: `float_hook` is only asked where nothing is said."""

    model: str
    messages: list[_Said]
    stream: bool | None = None
    stream_options: _Options | None = None
    temperature: Any = None
    top_p: Any = None
    max_completion_tokens: Any = None
    max_tokens: Any = None


_decode: Final = msgspec.json.Decoder(_Short, float_hook=fraction).decode


def read_short(body: bytes) -> ChatRequest | None:
    """The same as the general way finds in it; None = there is more in it, or a mistake."""
    if len(body) > LARGEST:
        return None
    try:
        short = _decode(body)
        params = _params(short)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidRequest):
        return None
    model, said = short.model, short.messages
    if short.max_completion_tokens is not None and short.max_tokens is not None:
        return None
    if not said or not model or len(model) > MAX_MODEL_NAME or model.isspace() or "\0" in model:
        return None
    messages: list[Message] = []
    for one in said:
        text = one.content
        if "\0" in text:
            return None
        messages.append(Message(SPEAKERS[one.role], text))
    ask = ChatRequest(model, messages, short.stream or False, params=params)
    if (options := short.stream_options) is not None:
        ask.include_usage = options.include_usage or False
    return ask


def _params(short: _Short) -> dict[str, Json]:
    """Raises InvalidRequest."""
    params: dict[str, Json] = {}
    if (temperature := short.temperature) is not None:
        params["temperature"] = check_param("temperature", temperature)
    if (top_p := short.top_p) is not None:
        params["top_p"] = check_param("top_p", top_p)
    most = short.max_tokens if short.max_completion_tokens is None else short.max_completion_tokens
    if most is not None:
        params["max_tokens"] = check_param("max_tokens", most)
    return params

"""Ollama's completions as clients speak them: `POST /api/generate`.

A plain prompt is a conversation of one message, which any server can answer. Only what says how the prompt is to be
put together (`raw`, `suffix`, `template`, `context`) makes it a completion. An empty prompt loads or unloads.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.fields import optional
from llm_gateway.wire.neutral import ChatRequest, Json, Message, Prompt
from llm_gateway.wire.ollama_fields import read_images, read_shared
from llm_gateway.wire.ollama_frames import CONTENT_TYPE, GENERATE, WRONG_METHOD, FrameWriter, error_body, write_answer
from llm_gateway.wire.requests import read_model

MAX_TOKEN: Final = 2**31
"""Ids of tokens are smaller."""


def read_request(body: bytes) -> ChatRequest:
    """The body of `POST /api/generate`. Raises InvalidRequest and its kin; unknown fields are ignored."""
    fields = decode_body(body)
    ask = ChatRequest(read_model(fields), [])
    text = optional(fields, "prompt", str) or ""
    system = optional(fields, "system", str) or ""
    images = read_images(fields)
    prompt = _prompt(fields, text, system)
    if text:
        ask.messages = [Message("system", system)] if system else []
        ask.messages.append(Message("user", text, images))
        ask.prompt = prompt
    read_shared(fields, ask)
    return ask


def _prompt(fields: dict[str, Json], text: str, system: str) -> Prompt | None:
    """None when nothing is said of how it is put together."""
    raw = optional(fields, "raw", bool)
    prompt = Prompt(
        text,
        suffix=optional(fields, "suffix", str) or None,
        raw=raw,
        template=optional(fields, "template", str) or None,
        context=_context(fields) or None,
    )
    if raw and (system or prompt.template or prompt.context):
        raise InvalidRequest(
            "raw mode does not support template, system, or context: a raw prompt is the whole prompt.", param="raw"
        )
    return prompt if raw or prompt.suffix or prompt.template or prompt.context else None


def _context(fields: dict[str, Json]) -> list[int]:
    tokens = optional(fields, "context", list) or []
    if not all(type(token) is int and 0 <= token < MAX_TOKEN for token in tokens):
        raise InvalidRequest("`context` must be a list of whole numbers, as an answer gave it.", param="context")
    return tokens


CLIENT: Final = ClientDialect(
    "ollama-generate",
    read_request,
    partial(FrameWriter, GENERATE),
    partial(write_answer, GENERATE),
    error_body,
    content_type=CONTENT_TYPE,
    wrong_method=WRONG_METHOD,
)

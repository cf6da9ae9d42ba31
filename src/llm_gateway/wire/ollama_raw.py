"""Ollama without its chat template: what the template makes of a conversation, and text that is gone on with as it is.

`_debug_render_only` (since 0.11.5) answers `POST /api/chat` with the rendered prompt instead of a generation; older
servers do not know the field and begin to generate, which their first frame shows. `POST /api/generate` with `raw`
takes such a text as the whole prompt.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_gateway.wire import ollama
from llm_gateway.wire.decoding import BadJson, decode_answer, decode_json
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import ChatRequest, Event, Json
from llm_gateway.wire.params import PARAMS, kept_alive


def write_render(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `/api/chat` that asks for the prompt only. A server that generates instead stops after a token."""
    fields = decode_json(ollama.write_upstream(ask, model, {**params, "max_tokens": 1}))
    return encode({**fields, "_debug_render_only": True})


def read_rendering(frame: bytes) -> str | None:
    """The prompt in the first frame of the answer; None when it is none."""
    try:
        value = decode_answer(frame)
    except BadJson:
        return None
    info = value.get("_debug_info") if isinstance(value, dict) else None
    rendered = info.get("rendered_template") if isinstance(info, dict) else None
    return rendered if isinstance(rendered, str) and rendered else None


def write_raw(ask: ChatRequest, prompt: str, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `/api/generate` that goes on with `prompt`; of `ask` only what is no part of the prompt counts."""
    body: dict[str, Json] = {"model": model, "prompt": prompt, "raw": True, "stream": True}
    if options := {spec.ollama: params[name] for name, spec in PARAMS.items() if spec.ollama and name in params}:
        body["options"] = options
    if (kept := kept_alive(ask.keep_alive)) is not None:
        body["keep_alive"] = kept
    return encode(body)


class RawReader(ollama.StreamReader):
    """Frames of `/api/generate` -> events: as those of a chat, with the text in `response`."""

    __slots__ = ()

    def _frame(self, frame: dict[str, Json], events: list[Event]) -> None:
        if "response" in frame and "message" not in frame:
            frame = {**frame, "message": {"content": frame["response"]}}
        super()._frame(frame, events)

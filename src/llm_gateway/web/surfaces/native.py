"""The gateway's own API: `POST /v1/chat` and `POST /v1/chat/stream`."""

from __future__ import annotations

from typing import Final

from llm_gateway.web.surfaces.route import MESSAGE, MODEL, SAMPLING, Route, body
from llm_gateway.wire.native import CLIENT

_BODY: Final = body(
    ["model", "messages"],
    {
        "model": MODEL,
        "messages": {"type": "array", "minItems": 1, "items": MESSAGE},
        **SAMPLING,
        "metadata": {
            "type": "object",
            "description": "Stored with the log row.",
            "properties": {"project_context": {"type": "string"}, "correlation_id": {"type": "string"}},
        },
    },
    {
        "model": "law-assistant",
        "messages": [
            {"role": "system", "content": "You are a legal assistant."},
            {"role": "user", "content": "Summarise clause 4."},
        ],
        "temperature": 0.2,
        "max_tokens": 512,
        "metadata": {"project_context": "contracts", "correlation_id": "c-42"},
    },
)
ANSWER: Final = {
    "id": "019a2f6e-7c1b-7d3e-9f00-0123456789ab",
    "model": "llama3.3:70b",
    "object": "chat.completion",
    "created": 1763900000,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Clause 4 says …"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 21, "completion_tokens": 12, "total_tokens": 33},
}
_FRAMES: Final = (
    'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Clause"}}]}'
    "\n\n…\n\ndata: [DONE]\n\n"
)

ROUTES: Final = (
    Route("/v1/chat", CLIENT, "Chat, whole answer", _BODY, ANSWER, streams=False),
    Route("/v1/chat/stream", CLIENT, "Chat, streamed (SSE)", _BODY, _FRAMES, streams=True),
)

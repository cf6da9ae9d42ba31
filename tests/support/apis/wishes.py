"""What an API may be asked for beside its question, and how an Ollama server then hears it.

`sampling`: a seed of 7, the stop string x, at most 3 tokens. `must` and `none`: of the tools that are offered, one has
to be called, or none may be.
"""

from __future__ import annotations

from typing import Any

HELLO = [{"role": "user", "content": "Hello"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
URL = f"data:image/png;base64,{PIXEL}"
SCHEMA = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
FORM = {"name": "answer", "schema": SCHEMA}
SEEN = "What\nis it?"
"""The text around the image, which dialects of parts send in two."""
HEARD: dict[str, dict[str, Any]] = {
    "image": {"messages": [{"role": "user", "content": SEEN, "images": [PIXEL]}]},
    "form": {"format": SCHEMA},
    "think": {"think": "low"},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "keep": {"keep_alive": "10m"},
    "developer": {"messages": [{"role": "system", "content": "Be brief."}, *HELLO]},
}

"""What a fake server tells about itself: its version and its models, in Ollama's and in OpenAI's shape."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_gateway.testing.voices import CREATED, CREATED_AT, packed

METHODS = dict.fromkeys(("/", "/api/version", "/api/tags", "/api/ps", "/v1/models"), ("GET", "HEAD")) | {
    "/api/show": ("POST",),
    "/api/chat": ("POST",),
    "/api/generate": ("POST",),
    "/api/embed": ("POST",),
    "/v1/chat/completions": ("POST",),
    "/v1/completions": ("POST",),
    "/v1/embeddings": ("POST",),
}
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
CONTEXT_LENGTH = 4096
EMBEDDING_LENGTH = 384
NEVER = "0001-01-01T00:00:00Z"
CAPABILITIES = ("completion", "tools", "insert", "vision", "embedding", "thinking")
QUIRKS = frozenset({"null_models", "bare_tags", "old_dates", "other_details", "silent_tags", "silent_show"})
"""Oddities of lists: `null` in place of a list; entries of nothing but a name; Go's zero time for every date; another
model's details under each name; entries without capabilities and context, as before 0.30; the same of what is shown of
one model, as before 0.6.4."""
OTHER = "gemma3:4.3b"


def digest_of(model: str) -> str:
    """The digest that every fake server reports for a name, so that equal names are equal models."""
    return hashlib.sha256(f"manifest of {tagged(model)}".encode()).hexdigest()


def tagged(model: str) -> str:
    """The name with its tag, as Ollama completes it."""
    return model if ":" in model else f"{model}:latest"


def holds(models: Sequence[str], asked: str) -> bool:
    """Ollama compares names without case and completes the tag."""
    return tagged(asked).lower() in {tagged(model).lower() for model in models}


def missing(asked: Mapping[str, Any], capabilities: Collection[str]) -> str | None:
    """The refusal, in Ollama's words, of a chat that wants more of a model than it is able to; None = it is able."""
    model = str(asked.get("model", ""))
    full = f"registry.ollama.ai/library/{tagged(model)}"
    messages = [message for message in asked.get("messages") or () if isinstance(message, dict)]
    parts = [part for m in messages if isinstance(m.get("content"), list) for part in m["content"]]
    wanted = {
        "completion": (True, f'"{model}" does not support chat'),
        "tools": (asked.get("tools"), f"{full} does not support tools"),
        "insert": (asked.get("suffix"), f"{full} does not support insert"),
        "vision": (
            any(message.get("images") for message in messages) or any("image_url" in part for part in parts),
            f"{full} does not support vision",
        ),
        "thinking": (asked.get("think") or asked.get("reasoning_effort"), f'"{model}" does not support thinking'),
    }
    return next((text for name, (does, text) in wanted.items() if does and name not in capabilities), None)


@dataclass(frozen=True, slots=True)
class About:
    """What a server knows of itself."""

    models: Sequence[str]
    digests: Mapping[str, str]
    warm: Mapping[str, bool]
    """Models in memory -> whether that is still being loaded."""
    version: str
    context_length: int = CONTEXT_LENGTH
    quirks: Collection[str] = ()
    """Of `QUIRKS`."""
    capabilities: Sequence[str] = CAPABILITIES
    abilities: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of single models, over `capabilities`."""

    def able(self, model: str) -> Sequence[str]:
        """What a model is able to."""
        return self.abilities.get(model, self.abilities.get(tagged(model), self.capabilities))

    def answer(self, method: str, path: str, asked: Any) -> tuple[int, bytes, str]:
        """Status, body and content type for any path; `asked` is the decoded body of the request."""
        if path not in METHODS:
            return 404, b"404 page not found", TEXT
        if method not in METHODS[path]:
            return 405, b"405 method not allowed", TEXT
        if path == "/":
            return 200, b"Ollama is running", TEXT
        if path == "/api/show":
            status, answer = self._show(asked if isinstance(asked, dict) else {})
            return status, packed(answer), JSON
        return 200, packed(self._list(path)), JSON

    def _list(self, path: str) -> dict[str, Any]:
        if path == "/api/version":
            return {"version": self.version}
        if path in ("/api/tags", "/api/ps"):
            if "null_models" in self.quirks:
                return {"models": None}
            if path == "/api/tags":
                return {"models": [self._tag(model) for model in self.models]}
            return {"models": [self._loaded(model, loading) for model, loading in self.warm.items()]}
        data = [{"id": model, "object": "model", "created": CREATED, "owned_by": "library"} for model in self.models]
        return {"object": "list", "data": data}

    def _show(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        model = asked.get("model") or asked.get("name")
        if not isinstance(model, str):
            return 400, {"error": "model is required"}
        if not holds(self.models, model):
            return 404, {"error": f"model '{tagged(model)}' not found"}
        told = {} if "silent_show" in self.quirks else {"capabilities": list(self.able(model))}
        return 200, {
            "modelfile": f"FROM {tagged(model)}\n",
            "template": "{{ .Prompt }}",
            "details": _details(model),
            "model_info": {
                "general.architecture": "llama",
                "general.basename": "Recite",
                "llama.context_length": self.context_length,
                "llama.embedding_length": EMBEDDING_LENGTH,
            },
            **told,
            "modified_at": CREATED_AT,
        }

    def _tag(self, model: str) -> dict[str, Any]:
        name = tagged(model)
        if "bare_tags" in self.quirks:
            return {"name": name}
        silent = "silent_tags" in self.quirks
        return {
            "name": name,
            "model": name,
            "modified_at": NEVER if "old_dates" in self.quirks else CREATED_AT,
            "size": 2_019_393_189,
            "digest": self.digests.get(model, digest_of(model)),
            "details": _details(OTHER if "other_details" in self.quirks else model)
            | ({} if silent else {"context_length": self.context_length, "embedding_length": EMBEDDING_LENGTH}),
            **({} if silent else {"capabilities": list(self.able(model))}),
        }

    def _loaded(self, model: str, loading: bool) -> dict[str, Any]:
        """One that is being loaded is there already, with nothing of it in memory and no context yet."""
        tag = self._tag(model)
        kept = {name: tag[name] for name in ("name", "model", "size", "digest", "details") if name in tag}
        expires = NEVER if "old_dates" in self.quirks else CREATED_AT
        if loading:
            return kept | {"expires_at": expires, "size_vram": 0}
        return kept | {"expires_at": expires, "size_vram": tag.get("size", 0), "context_length": self.context_length}


def _details(model: str) -> dict[str, Any]:
    family, _, tag = tagged(model).partition(":")
    size = re.match(r"(\d+x)?\d+(\.\d+)?[bm]\b", tag)
    return {
        "parent_model": "",
        "format": "gguf",
        "family": family,
        "families": [family],
        "parameter_size": size.group().upper() if size else "7.2B",
        "quantization_level": "Q4_K_M",
    }

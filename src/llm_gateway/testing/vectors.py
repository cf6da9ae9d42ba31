"""The vectors that every fake server knows by heart: one for each text, the same everywhere.

Unit length, and different for different texts, so that a vector in the wrong place, or of another text, shows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from llm_gateway.testing.voices import Ollama, OpenAI, Said, packed

SIZE = 8
"""Dimensions, where a request does not ask for fewer."""
VECTOR_PATHS = ("/api/embed", "/v1/embeddings")


def vector_of(text: str, size: int | None = None) -> list[float]:
    """The vector of a text, rounded as servers write their 32 bits; of fewer dimensions it is the begin, stretched."""
    bytes_ = hashlib.sha256(text.encode()).digest()[: min(size or SIZE, SIZE)]
    numbers = [byte - 127.5 for byte in bytes_]
    length = math.sqrt(sum(number * number for number in numbers))
    return [round(number / length, 9) for number in numbers]


def texts_of(body: dict[str, Any]) -> list[str]:
    """What is to be made vectors of."""
    given = body.get("input")
    return [given] if isinstance(given, str) else list(given or ())


class OllamaVectors(Ollama):
    """`/api/embed`."""

    def __init__(self, model: str, body: dict[str, Any]) -> None:
        self._texts = texts_of(body)
        self._size = body.get("dimensions")
        super().__init__(model, sum(len(text.split()) for text in self._texts))

    def whole(self, said: Said, *, done: bool = True) -> bytes:
        figures = {"total_duration": 5_000_000, "load_duration": 1_000_000, "prompt_eval_count": self._prompt_tokens}
        kept = figures if said.figures else {}
        return packed({"model": self._model, "embeddings": _vectors(said, self._texts, self._size), **kept})


class OpenAIVectors(OpenAI):
    """`/v1/embeddings`, as llama.cpp answers: it does not know `dimensions`."""

    def __init__(self, model: str, body: dict[str, Any]) -> None:
        self._texts = texts_of(body)
        super().__init__(model, sum(len(text.split()) for text in self._texts), include_usage=True)

    def whole(self, said: Said, *, done: bool = True) -> bytes:
        data = [
            {"object": "embedding", "index": n, "embedding": vector}
            for n, vector in enumerate(_vectors(said, self._texts, None))
        ]
        if said.reason == "shuffled":
            data.reverse()
        usage = {"usage": {"prompt_tokens": self._prompt_tokens, "total_tokens": self._prompt_tokens}}
        return packed({"object": "list", "model": self._model, "data": data, **(usage if said.figures else {})})


def _vectors(said: Said, texts: Sequence[str], size: int | None) -> list[list[Any]]:
    good = [vector_of(text, size) for text in texts]
    return said.vectors(good) if said.vectors else good

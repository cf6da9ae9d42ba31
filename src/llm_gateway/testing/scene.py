"""What a mood plays on: one connection, one request, the server's manner of speaking.

A mood composes an answer (`answer`) and delivers it well (`deliver`) or badly (`deliver_part` and raw bytes).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llm_gateway.testing.line import Heard, Line
from llm_gateway.testing.recital import continued, recital, stopped, without_last
from llm_gateway.testing.template import partial_of, rendered
from llm_gateway.testing.vectors import VECTOR_PATHS, OllamaVectors, OpenAIVectors
from llm_gateway.testing.voices import Call, Completion, Generate, Ollama, OpenAI, Said, Voice

CHAT_PATHS = ("/api/chat", "/v1/chat/completions")
"""Of conversations."""
PROMPT_PATHS = ("/api/generate", "/v1/completions")
"""Of prompts."""
ANSWER_PATHS = (*CHAT_PATHS, *PROMPT_PATHS, *VECTOR_PATHS)
"""Everything that makes a model work."""

Script = Callable[[dict[str, Any]], Sequence[str]]
"""The body of a request -> the pieces of its answer."""

Prefill = Literal["continue", "restart", "repeat", "reject"]
"""What becomes of a conversation that ends in an unfinished answer: it is continued word by word; begun anew (the
template closes it); continued from a word too early; refused with 400."""


@dataclass(slots=True)
class Manner:
    """How a server speaks, whatever its mood. May be changed while it serves."""

    words: int = 10
    """Length of the recital; a request may ask for less (`num_predict`, `max_tokens`), never for more."""
    prefix: str = "w"
    """The voice of this server: tells which one answered."""
    delay: float | None = None
    """Seconds of silence before the first byte of an answer; None = as the mood likes."""
    rate: float | None = None
    """Tokens per second; None = as the mood likes."""
    cut_after: int = 3
    """After how many pieces the moods that break in the middle do so."""
    script: Script | None = None
    """What it says instead of the recital."""
    redirect_to: str = "/elsewhere"
    prefill: Prefill = "continue"
    renders: bool = True
    """Whether `_debug_render_only` is known here (Ollama since 0.11.5); others take it for an ordinary chat."""
    load: float | None = None
    """Seconds that a model that is not warm takes to load: silence, while every other path answers."""
    context_length: int = 4096
    first_n: int = 3
    """How many answers in a row go wrong in the moods that come and go."""
    dice: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - repeatable chance


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in bytes, ready to be delivered in whichever way was asked for."""

    frames: list[bytes]
    end: bytes
    """The terminal frame or frames."""
    whole: bytes
    """The body for `stream: false`."""


class Scene:
    """One turn of a mood. `heard` is None for the moods that act before any request was read."""

    def __init__(self, line: Line, manner: Manner, heard: Heard | None = None, turn: int = 1, number: int = 1) -> None:
        self.line = line
        self.manner = manner
        self.turn = turn
        """The number of this request on its connection, from 1."""
        self.number = number
        """The number of this request among the server's chats, from 1."""
        self.body: dict[str, Any] = heard.json if heard and isinstance(heard.json, dict) else {}
        self.path = heard.path if heard else CHAT_PATHS[0]
        self.ollama = self.path.startswith("/api/")
        """Whether the dialect is Ollama's own, otherwise OpenAI's."""
        self.lead = b"" if self.ollama else b"data: "
        """What stands before the JSON of a frame."""
        self.words = self.path not in VECTOR_PATHS
        """Whether words are asked for, otherwise vectors."""
        self.streaming = self.words and bool(self.body.get("stream", self.ollama))
        self.model = str(self.body.get("model", ""))
        self.raw = self.path in PROMPT_PATHS
        """Whether the prompt comes ready for the model, without a conversation around it."""
        self.suffix = str(self.body.get("suffix") or "")
        """What follows the gap that is to be filled."""
        self.partial = partial_of(self.body, raw=self.path == "/v1/completions" or bool(self.suffix))
        """The unfinished answer that the request ends in, "" when there is none."""
        self.voice = self.voice_for(self.model)

    def voice_for(self, model: str, *, other: bool = False) -> Voice:
        """The dialect of the request, or the `other` one, with the model name that the frames shall bear."""
        prompt = sum(_words(message) for message in self.body.get("messages") or ())
        if not self.words and not other:
            return OllamaVectors(model, self.body) if self.ollama else OpenAIVectors(model, self.body)
        if self.raw:
            prompt = len(str(self.body.get("prompt", "")).split())
        if self.raw and self.ollama is not other:
            return Generate(model, prompt)
        if self.ollama is not other:
            return Ollama(model, prompt)
        include_usage = bool((self.body.get("stream_options") or {}).get("include_usage"))
        return (Completion if self.raw else OpenAI)(model, prompt, include_usage=include_usage)

    def said(self) -> Said:
        """What a good answer to this request says: the whole text, or the rest of it where a part is there already,
        up to the first stop string and to the limit."""
        script = self.manner.script
        pieces = list(script(self.body)) if script else recital(self.manner.words, self.manner.prefix)
        if self.partial:
            pieces = self._rest(pieces)
        pieces = stopped(pieces, self._stops())
        limit = self._limit()
        if limit is None or limit > len(pieces):
            return Said(pieces)
        return Said(pieces[:limit], reason="length")

    def _rest(self, pieces: list[str]) -> list[str]:
        if self.raw or self.manner.prefill == "continue":
            return continued(pieces, self.partial)
        if self.manner.prefill == "repeat":
            return continued(pieces, without_last(self.partial))
        return pieces

    def answer(self, said: Said | None = None, voice: Voice | None = None) -> Answer:
        """The bytes of `said`, by default of the good answer, thinking first and calls last."""
        said, voice = said or self.said(), voice or self.voice
        frames = [voice.thinking(piece) for piece in said.thinking]
        frames += [voice.text(piece) for piece in said.pieces]
        frames += [voice.call(index, call) for index, call in enumerate(said.calls)]
        return Answer(frames, voice.finish(said), voice.whole(said))

    async def deliver(self, answer: Answer, *, delay: float = 0.0, rate: float | None = None) -> None:
        """The answer as it should be. The manner's own delay and rate win over the mood's."""
        if self.streaming:
            await self.deliver_part(answer, len(answer.frames), delay=delay, rate=rate)
            await self.line.chunk(answer.end)
            await self.line.end()
        else:
            await self.silence(delay)
            await self.pace(len(answer.frames), rate)
            await self.line.whole(200, answer.whole)

    async def deliver_part(self, answer: Answer, pieces: int, *, delay: float = 0.0, rate: float | None = None) -> None:
        """The head and the first `pieces` frames; of an answer that is not streamed, the head and half the body.

        The head leaves with the first frame, as Ollama's does: until then there is only silence.
        """
        await self.silence(delay)
        if not self.streaming:
            await self.line.head(200, {"Content-Type": "application/json", "Content-Length": str(len(answer.whole))})
            await self.line.send(answer.whole[: len(answer.whole) // 2])
            return
        await self.line.start(self.voice.stream_type)
        for frame in answer.frames[:pieces]:
            await self.line.chunk(frame)
            await self.pace(1, rate)

    async def silence(self, delay: float = 0.0) -> None:
        """The wait before the first byte of an answer."""
        await asyncio.sleep(delay if self.manner.delay is None else self.manner.delay)

    async def pace(self, tokens: int, rate: float | None = None) -> None:
        """The time that so many tokens take at the manner's rate, else at `rate`; none when neither is given."""
        if rate := self.manner.rate or rate:
            await asyncio.sleep(tokens / rate)

    async def refuse(self, status: int, message: str, **headers: str) -> None:
        """An error in the dialect of the request."""
        await self.line.whole(status, self.voice.refusal(message, status), **headers)

    async def render(self) -> None:
        """What the model would be given, instead of an answer (`_debug_render_only`); never streamed."""
        template = rendered(self.body, closes=self.manner.prefill != "continue")
        await self.line.whole(200, Ollama(self.model, 0).rendering(template))

    def tool_call(self) -> Call:
        """A call of the first tool that the request offers."""
        offered = [tool["function"]["name"] for tool in self.body.get("tools") or ()]
        return Call(offered[0] if offered else "get_weather", {"city": "Boston", "days": 2})

    def num_ctx(self) -> int:
        """The context that this request gets."""
        asked = (self.body.get("options") or {}).get("num_ctx")
        return asked if isinstance(asked, int) else self.manner.context_length

    def _limit(self) -> int | None:
        options = self.body.get("options") or {}
        asked = (
            options.get("num_predict")
            if self.ollama
            else self.body.get("max_completion_tokens", self.body.get("max_tokens"))
        )
        return asked if isinstance(asked, int) and asked > 0 else None

    def _stops(self) -> list[str]:
        asked = (self.body.get("options") or {}).get("stop") if self.ollama else self.body.get("stop")
        stops = [asked] if isinstance(asked, str) else list(asked or ())
        return [*stops, self.suffix] if self.suffix else stops


def _words(message: Any) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    return 4 + len(content.split()) if isinstance(content, str) else 4

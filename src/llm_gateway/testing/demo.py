"""The demo: a fleet of fake model servers on loopback, good and bad, and a little traffic.

For a newcomer without internet: `serve --demo` shows failover, rests and typed errors without any real model. What
the fleet says is canned, pleasant and says so. Nothing polls: between requests the fleet only waits.
"""

from __future__ import annotations

import asyncio
import random
import re
import zlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from llm_gateway.access.policy import Trust
from llm_gateway.testing.catalogue import digest_of
from llm_gateway.testing.rogue import Rogue
from llm_gateway.testing.scene import Script

HELLO_MODEL = "llama3.2:3b"
"""For a first request: no server that breaks in mid-answer holds it."""


@dataclass(frozen=True, slots=True)
class DemoServer:
    """A server of the fleet, as a source of servers would describe it."""

    name: str
    url: str
    trust: Trust
    models: tuple[str, ...]
    tokens_per_second: float | None
    """As a catalogue would have measured it."""
    kind: str = "ollama"


ENGLISH = (
    "Hello from the demo fleet! I am standing in for {model}, so this answer was written in advance.",
    "This is the demo fleet speaking. One of my neighbours just failed, perhaps, but you did not have to notice.",
    "You are talking to a small fake server on your own machine, not to {model}. Every word of this came over HTTP.",
    "Good question. The real {model} would think about it; the demo fleet only shows how an answer travels.",
    "Some servers of this demo fleet are slow, one is dead and one lies about its model. You got a good one.",
)
SPANISH = (
    "¡Hola desde la flota de demostración! Hago de {model}, así que esta respuesta ya estaba escrita.",
    "Habla la flota de demostración. Quizá acaba de fallar un servidor vecino, pero no has tenido que notarlo.",
    "Estás hablando con un pequeño servidor de mentira en tu propia máquina, no con {model}.",
    "Buena pregunta. El verdadero {model} lo pensaría; la flota de demostración solo enseña cómo viaja una respuesta.",
    "En esta flota de demostración hay servidores lentos, uno muerto y uno que miente. Te ha tocado uno bueno.",
)
_SPANISH_MARKS = re.compile(r"[¿¡ñáéíóú]|\b(hola|gracias|qué|que|cómo|como|por|una|los|las|el|es)\b", re.IGNORECASE)

PROMPTS = (
    "Say hello in one sentence.",
    "What is a gateway?",
    "Why do servers fail?",
    "¿Qué es una flota de servidores?",
    "Cuéntame algo breve, por favor.",
)


def sentence(body: dict[str, Any]) -> list[str]:
    """The words that answer a chat request: the same for the same question, in its language as far as that shows."""
    messages = [message for message in body.get("messages") or () if isinstance(message, dict)]
    content = messages[-1].get("content") if messages else None
    asked = content if isinstance(content, str) else ""
    texts = SPANISH if _SPANISH_MARKS.search(asked) else ENGLISH
    text = texts[zlib.crc32(asked.encode()) % len(texts)].format(model=body.get("model", "a model"))
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)]


class DemoFleet:
    """Eight servers from entering to leaving the context; `servers` describes them, `rogues` are they, by name."""

    def __init__(self, seed: int = 0) -> None:
        self._rogues = _fleet(sentence, seed)
        self._dice = random.Random(seed)  # noqa: S311 - which prompt comes next is no secret
        self._stack = AsyncExitStack()
        self._traffic: asyncio.Task[None] | None = None
        self.asked = 0
        """Requests of the background traffic so far."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for _, rogue in self._rogues.values():
                await stack.enter_async_context(rogue)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._traffic:
            self._traffic.cancel()
            await asyncio.gather(self._traffic, return_exceptions=True)
        await self._stack.aclose()

    @property
    def rogues(self) -> dict[str, Rogue]:
        return {name: rogue for name, (_, rogue) in self._rogues.items()}

    @property
    def servers(self) -> list[DemoServer]:
        return [
            DemoServer(name, rogue.url, trust, tuple(rogue.models), 4.0 if rogue.mood == "slow" else rogue.manner.rate)
            for name, (trust, rogue) in self._rogues.items()
        ]

    def start_traffic(
        self, base_url: str, key: str, *, models: Sequence[str] = (HELLO_MODEL,), every: float = 4.0
    ) -> None:
        """Asks the gateway at `base_url` something about every `every` seconds, until the fleet ends.

        One request at a time; failures are what the demo is there to show, so they are not reported again.
        """
        self._traffic = asyncio.get_running_loop().create_task(
            self._ask_on(base_url, key, models, every), name="demo:traffic"
        )

    async def _ask_on(self, base_url: str, key: str, models: Sequence[str], every: float) -> None:
        async with httpx.AsyncClient(base_url=base_url, timeout=60.0, trust_env=False) as client:
            while True:
                await asyncio.sleep(every * self._dice.uniform(0.5, 1.5))
                path = self._dice.choice(("/v1/chat", "/v1/chat/stream"))
                body = {
                    "model": self._dice.choice(models),
                    "messages": [{"role": "user", "content": self._dice.choice(PROMPTS)}],
                    "metadata": {"project_context": "demo traffic"},
                }
                try:
                    await client.post(path, json=body, headers={"X-API-Key": key})
                except httpx.HTTPError:
                    continue
                finally:
                    self.asked += 1


def _fleet(script: Script, seed: int) -> dict[str, tuple[Trust, Rogue]]:
    """The servers by name. A new one must not break answers of `HELLO_MODEL` in the middle."""
    cutting = {"good": 0.4, "cut_clean_eof": 0.4, "cut_rst": 0.2}

    def rogue(models: Sequence[str], mood: str = "good", **manner: Any) -> Rogue:
        return Rogue(models, mood, script=script, seed=seed, remember=0, **manner)

    return {
        "demo-maple": (Trust.OWN, rogue([HELLO_MODEL, "qwen2.5:7b"], delay=0.05, rate=60)),
        "demo-birch": (Trust.OWN, rogue([HELLO_MODEL, "mistral:latest", "smollm2:135m"], delay=0.15, rate=25)),
        "demo-cedar": (Trust.PUBLIC, rogue(["qwen2.5:7b", "mistral:latest", "smollm2:135m"], delay=0.1, rate=40)),
        "demo-slow": (Trust.PUBLIC, rogue([HELLO_MODEL, "qwen2.5:7b"], "slow")),
        "demo-dead": (Trust.PUBLIC, rogue([HELLO_MODEL, "mistral:latest"], "refuse")),
        "demo-cutting": (Trust.PUBLIC, rogue(["qwen2.5:7b", "mistral:latest"], mix=cutting, delay=0.1, rate=40)),
        "demo-lying": (
            Trust.PUBLIC,
            rogue([HELLO_MODEL], "wrong_model", digests={HELLO_MODEL: digest_of("gemma3:4b")}, delay=0.05, rate=80),
        ),
        "demo-html": (Trust.PUBLIC, rogue([HELLO_MODEL, "smollm2:135m"], "html_200", everywhere=True)),
    }

"""Moods that answer fluently, and not what was asked: another model's words, a canned text, a prompt half read.

Lies about digests are told by the lists: see `Rogue.digests`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from llm_gateway.testing.scene import Scene
from llm_gateway.testing.voices import Said

OTHER_MODEL = "gemma3:4b"
CANNED = (" Hello", "!", " How", " can", " I", " help", " you", " today", "?")
CLAIMED = 4_000
"""Tokens."""
CANNED_AFTER = 0.05
"""Seconds, whatever was asked."""


async def wrong_model(scene: Scene) -> None:
    """Answers well, in the name of another model."""
    await scene.deliver(scene.answer(voice=scene.voice_for(OTHER_MODEL)))


async def honeypot(scene: Scene) -> None:
    """The same friendly text for every model and every question, in constant time; it holds whatever is asked for."""
    await asyncio.sleep(CANNED_AFTER)
    await scene.deliver(scene.answer(Said(CANNED)), delay=0.0)


async def truncates_prompt(scene: Scene) -> None:
    """Answers well what was left of the prompt: half the context, as Ollama keeps it (since 0.30) without a word."""
    await scene.deliver(scene.answer(replace(scene.said(), prompt_tokens=scene.num_ctx() // 2 + 2)))


async def overcounts(scene: Scene) -> None:
    """Answers well, and claims to have read and written far more than there was."""
    said = scene.said()
    await scene.deliver(scene.answer(replace(said, prompt_tokens=CLAIMED, answer_tokens=CLAIMED)))

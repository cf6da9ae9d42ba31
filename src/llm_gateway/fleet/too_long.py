"""What a caller is told whose prompt no server can hold: OpenAI's words, with the figures where they are known.

Programs read these words, and the figures in them, to shorten a conversation and to ask again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from llm_gateway.errors import ContextLengthExceeded, Fault
from llm_gateway.fleet.candidate import Candidate

_CONTEXT: Final = re.compile(r"context (?:length|size)\D{0,30}?(\d{1,9})\b", re.IGNORECASE)
_PROMPT: Final = (
    re.compile(r"\b(\d{1,9}) in the messages", re.IGNORECASE),
    re.compile(r"(?:request|requested|has|have|resulted in|contains)\s\(?(\d{1,9}) (?:input |prompt )?tokens", re.I),
)


def too_long(faults: Iterable[tuple[Candidate, Fault]], estimate: int) -> ContextLengthExceeded:
    """`faults`: what the servers made of it, of kinds CONTEXT and PROMPT_CUT; `estimate`: tokens of the prompt as we
    count. The longest context counts: of what the servers said, or else of what they list."""
    contexts, prompts, words = [0], [0], ""
    for candidate, fault in faults:
        said = fault.said or ""
        contexts.append(_figure(said, (_CONTEXT,)) or candidate.context or 0)
        prompts.append(_figure(said, _PROMPT))
        words = said or words
    context, counted = max(contexts), max(prompts)
    prompt = counted if counted > context else estimate
    details: dict[str, object] = {"context_length": context} if context else {}
    if prompt > context > 0:
        details["prompt_tokens"] = prompt
    if not context:
        return ContextLengthExceeded(words or "The prompt is longer than this model's context on any server.")
    about = "" if prompt == counted else "about "
    resulted = f"resulted in {about}{prompt} tokens" if prompt > context else "resulted in more"
    return ContextLengthExceeded(
        f"This model's maximum context length is {context} tokens. However, your messages {resulted}. "
        "Please reduce the length of the messages.",
        param="messages",
        details=details,
    )


def _figure(said: str, patterns: Iterable[re.Pattern[str]]) -> int:
    """0 = there is none."""
    return next((int(found[1]) for pattern in patterns if (found := pattern.search(said))), 0)

"""Does a whole answer have the form that was asked for? JSON, or JSON that fits a schema.

Servers that cannot force a form let the model do what it likes: mostly the right document within a code fence, or
with a sentence around it. That much is mended; what does not fit then is for the caller to be told.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.wire.decoding import BadJson, decode_answer
from llm_gateway.wire.neutral import Answer, Json
from llm_gateway.wire.readers import logprobs_within
from llm_gateway.wire.schema import misfit

_PAIRS: Final = {"{": "}", "[": "]"}


def fits(text: str, wanted: Json) -> bool:
    """Is `text` a document of the form `wanted` ("json" or a schema)? What would take long to judge is."""
    try:
        value = decode_answer(text.encode("utf-8", "replace"))
    except BadJson as bad:
        return not bad.malformed
    if isinstance(wanted, dict):
        return misfit(value, wanted) is None
    return isinstance(value, dict | list)


def document(text: str, wanted: Json) -> tuple[int, int] | None:
    """Where in `text` the document stands that fits: all of it, or what is left without a fence and a sentence before
    or after. None when there is none."""
    if fits(text, wanted):
        return 0, len(text)
    starts = [at for at in map(text.find, _PAIRS) if at >= 0]
    if not starts:
        return None
    start = min(starts)
    end = text.rfind(_PAIRS[text[start]]) + 1
    return (start, end) if end > start and fits(text[start:end], wanted) else None


def excerpt(answer: Answer, start: int, end: int) -> Answer:
    """The answer with this part of its text, and the logprobs of that."""
    if (start, end) == (0, len(answer.text)):
        return answer
    logprobs = None if answer.logprobs is None else logprobs_within(answer.logprobs, start, end)
    text = answer.text[start:end]
    return Answer(text, answer.thinking, answer.tool_calls, answer.finish, answer.usage, logprobs)

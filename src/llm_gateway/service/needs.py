"""What a request needs of a model, and what its caller is told when no server's model has it."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from llm_gateway.access.policy import Project
from llm_gateway.errors import CapabilityMissing
from llm_gateway.exposures import ECHO, SHOWN
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.gateway import Gateway
from llm_gateway.wire.models import CAPABILITIES
from llm_gateway.wire.neutral import ChatRequest

NONE: Final[frozenset[str]] = frozenset()
EMBEDDING: Final = frozenset({"embedding"})
FIELDS: Final = {
    "completion": ("model", "chat"),
    "tools": ("tools", "tools"),
    "insert": ("suffix", "a suffix"),
    "vision": ("messages", "images"),
    "embedding": ("model", "embeddings"),
    "thinking": ("think", "thinking"),
}
"""The field of the request that needs it, and what it is called in a sentence."""


def needs_of(ask: ChatRequest) -> frozenset[str]:
    """What the model must be able to, so that the request can be answered at all."""
    if ask.inputs is not None:
        return EMBEDDING
    if not ask.tools and ask.prompt is None and not any(message.images for message in ask.messages):
        return NONE
    needs = {"tools"} if ask.tools else set()
    if any(message.images for message in ask.messages):
        needs.add("vision")
    if ask.prompt is not None and ask.prompt.suffix:
        needs.add("insert")
    return frozenset(needs)


def check(gw: Gateway, project: Project, asked: str, wish: Ask) -> None:
    """Raises CapabilityMissing when every permitted server that holds one of the models is known to lack what the
    request needs. `asked`: the model's name as the caller knows it."""
    if wish.needs and (nobody := gw.fleet.lacking(wish, gw.clock.now())):
        raise missing(gw, project, asked, wish, nobody)


def missing(gw: Gateway, project: Project, asked: str, wish: Ask, needs: frozenset[str]) -> CapabilityMissing:
    """Says which of the models that the project may ask for have it."""
    lacked = [FIELDS[name] for name in CAPABILITIES if name in needs]
    now, whole = gw.clock.now(), replace(wish, needs=wish.needs | needs)
    able = [v.name for v in gw.visible(project) if gw.fleet.able(replace(whole, backends=v.backends), now)]
    more = f" and {len(able) - SHOWN} more" if len(able) > SHOWN else ""
    named = ", ".join(f"`{name}`" for name in able[:SHOWN]) or "none"
    return CapabilityMissing(
        f"No server that may be used supports {' and '.join(words for _, words in lacked) or 'this'} with the model "
        f"`{asked[:ECHO]}`. Exposed models that are known to: {named}{more}.",
        param=lacked[0][0] if lacked else "model",
    )

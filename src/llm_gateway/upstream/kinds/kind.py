"""How one kind of model server is spoken to: paths, key, and the reading of its lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.facts import ListedModel
from llm_gateway.wire.dialect import PromptDialect
from llm_gateway.wire.neutral import ChatRequest
from llm_gateway.wire.registry import ServerDialect

MOST_MODELS: Final = 2_000
"""Of one server: no honest list within the size limit is longer, and each model costs memory."""
MOST_OF_STRANGERS: Final = 500
"""Of one public server. The largest honest lists are those of brokers, of a few hundred."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Paths are appended to the path of the server's base URL. No others are ever asked for."""

    name: str
    dialect: ServerDialect
    """Writes chat requests, reads the streaming answers and the lists."""
    chat_path: str
    prompt_path: str
    """Where a prompt goes that is no conversation (`dialect.prompts`) …"""
    vector_path: str
    """… and texts to be made vectors of (`dialect.vectors`)."""
    list_path: str
    alive_path: str
    """The lightest question: a working process answers it at once, also while it loads or generates."""
    version_path: str | None
    read_version: Callable[[bytes], str | None]
    """Reads the body of `version_path`; None when there is no version in it."""
    memory_path: str | None
    """Tells which models are in memory, as a list; `/api/ps`."""
    show_path: str | None
    """Tells what one model is able to; with it `dialect.show` is there."""
    echoes_model: bool
    """Do its frames carry the name that was asked for? Then another name is another model."""
    cuts_prompts: bool
    """Does it answer what is left of a prompt that does not fit, without a word?"""
    may_lack_list: bool
    """Are there servers of this kind without a list? Then one holds what its owner's configuration says."""

    @property
    def paths(self) -> frozenset[str]:
        """All that is ever asked of such a server."""
        paths = (
            *(self.chat_path, self.prompt_path, self.vector_path, self.list_path, self.alive_path),
            *(self.version_path, self.memory_path, self.show_path),
        )
        return frozenset(path for path in paths if path is not None)

    def way(self, ask: ChatRequest) -> tuple[str, ServerDialect | PromptDialect]:
        """Where to ask for an answer in words, and in which form: as a conversation, or the prompt as it is."""
        prompts = self.dialect.prompts
        if ask.prompt is not None and prompts.goes(ask.prompt):
            return self.prompt_path, prompts
        return self.chat_path, self.dialect

    def auth_headers(self, api_key: str | None) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {api_key}")] if api_key else []

    def read_list(self, body: bytes, most: int = MOST_MODELS) -> tuple[ListedModel, ...]:
        """The models in the answer to `list_path`. Raises Fault when it is no list, or one beyond belief."""
        entries = self.dialect.read_models(body)
        if len(entries) > most:
            raise Fault(FaultKind.TOO_LARGE, f"{len(entries):,} models in a list")
        return tuple(
            ListedModel(
                name=entry.name,
                digest=entry.digest,
                family=entry.family,
                parameter_size=entry.parameter_size,
                quantization=entry.quantization,
                context_length=entry.context_length,
                size=entry.size,
                capabilities=entry.capabilities,
                embedding_length=entry.embedding_length,
            )
            for entry in entries
        )

"""How one kind of model server is spoken to: paths, key, and the reading of its lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.facts import ListedModel
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
    raw_path: str | None
    """Where a prompt that needs no template goes; with it `dialect.raw` is there."""
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
            *(self.chat_path, self.raw_path, self.list_path, self.alive_path),
            *(self.version_path, self.memory_path, self.show_path),
        )
        return frozenset(path for path in paths if path is not None)

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

"""A client library as the matrix sees it: the same question put in its words, the same `Said` read from its answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from support.gateway import HELLO, MODEL


@dataclass(frozen=True, slots=True)
class Ask:
    """A question, in OpenAI's words; each client puts it into its own."""

    model: str = MODEL
    messages: Sequence[Mapping[str, Any]] = tuple(HELLO)
    tools: Sequence[Mapping[str, Any]] = ()
    schema: Mapping[str, Any] | None = None
    think: bool = False
    max_tokens: int = 2_000


@dataclass(slots=True)
class Said:
    """What a user of the library got to see."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Mapping[str, Any], str]] = field(default_factory=list)
    """Name, arguments and id of each tool call; the id is "" where the library has none."""
    finish: str | None = None
    """stop, length or tool_calls; None = never told."""
    tokens: int | None = None
    """Of the answer, as its usage tells."""
    pieces: int = 0
    """In how many pieces a streamed text came."""
    error: BaseException | None = None
    """What a stream raised in the middle."""


class Client(ABC):
    """One library, set up with nothing but address and key as its users do it. Its own retries are off."""

    name: ClassVar[str]
    chats: ClassVar[str]
    """The path that its chats need."""
    lists: ClassVar[str | None] = "/v1/models"
    """The path that its list of models needs; None = the library lists none."""
    embeds: ClassVar[str | None] = None
    """The path that its embeddings need; None = the library has none."""
    limits: ClassVar[Mapping[str, str]] = {}
    """Column -> what of the library itself forbids it."""
    missing: ClassVar[str | None] = None
    """Why the library cannot be used here at all."""
    unknown_model: ClassVar[str]
    """The class of its own exceptions that tells of each of these."""
    bad_key: ClassVar[str]
    lost: ClassVar[str]

    def __init__(self, url: str, key: str, headers: Mapping[str, str]) -> None:
        self.url, self.key, self.headers = url, key, dict(headers)

    async def models(self) -> list[str]:
        raise NotImplementedError

    @abstractmethod
    async def chat(self, ask: Ask) -> Said:
        """Raises what the library raises."""

    @abstractmethod
    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        """Leaves by the library's own means after so many pieces of text. What breaks a stream that has begun is in
        the answer; raises what happens before."""

    async def embed(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError


def classes_of(error: BaseException) -> list[str]:
    """`openai.NotFoundError`: package and class, its bases as well; of a JavaScript error its class."""
    if told := getattr(error, "told_class", None):
        return [told]
    return [f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__]

"""What happened at the servers, with times: the only way anything reaches the fleet's beliefs.

Times are seconds on the gateway's monotonic clock; durations are seconds; rates tokens per second. Facts are structs
of msgspec: made several times per request, they cost a tenth of a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.wire.models import ModelShow


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server as its source describes it, before anything was seen of it."""

    id: str
    """Opaque and stable (the database's), safe to show to clients."""
    name: str
    url: str
    """Base URL without a trailing slash; `openai` kinds include `/v1`."""
    kind: str
    """A name of `upstream.kinds`: ollama | openai."""
    trust: Trust
    source: str = "configured"
    api_key: str | None = field(default=None, repr=False)
    max_concurrency: int | None = None
    models: tuple[ListedModel, ...] = ()
    """What the source says it holds: believed until the server itself has been asked."""
    country: str | None = None
    enabled: bool = True
    first_seen: float = 0.0
    """Unix seconds: when its source first listed it."""
    seen_ago: float | None = None
    """Seconds since its source last saw it at work; None = it does not tell."""
    hedge: bool = True
    """May it take part in races? Not where every started answer is paid for."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as a server or a catalogue lists it."""

    name: str
    digest: str | None = None
    """Bare hex SHA-256 of the manifest."""
    family: str | None = None
    parameter_size: str | None = None
    quantization: str | None = None
    context_length: int | None = None
    size: int | None = None
    """Bytes."""
    capabilities: tuple[str, ...] = ()
    """By the names of `wire.models.CAPABILITIES`; empty = it does not say."""
    tokens_per_second: float | None = None
    """A catalogue's measurement, a prior only."""
    embedding_length: int | None = None
    """Numbers of an embedding."""
    architecture: str | None = None
    """Only where a server has shown the model: no list tells it."""
    basename: str | None = None
    """As `architecture`."""


class Listed(Struct, frozen=True, gc=False):
    """The server answered its model list."""

    server: str
    at: float
    models: tuple[ListedModel, ...]
    version: str | None = None


class ProbeFailed(Struct, frozen=True, gc=False):
    server: str
    at: float
    fault: FaultKind
    detail: str = ""
    again_in: float | None = None
    """Seconds until the next look, which is what ends its rest; None = unknown, it ends by itself."""


class Warm(Struct, frozen=True, gc=False):
    """The server told which models it has in memory now (Ollama: `/api/ps`): all others have to be loaded first."""

    server: str
    at: float
    models: tuple[str, ...]
    """Names as it lists them."""


class Shown(Struct, frozen=True, gc=False):
    """The server was asked what one of its models is (Ollama: `/api/show`)."""

    server: str
    at: float
    model: str
    digest: str | None
    """Of the model, as it was listed when the question was asked."""
    show: ModelShow
    """All of it unknown where the server does not tell."""


class Lacks(Struct, frozen=True, gc=False):
    """The server refused a request because the model there lacks what the request needs or wishes for."""

    server: str
    at: float
    model: str
    capability: str


class AttemptStarted(Struct, frozen=True, gc=False):
    server: str
    model: str
    at: float
    probe: bool = False
    """Our own question: nobody's request."""


class FirstToken(Struct, frozen=True, gc=False):
    server: str
    model: str
    at: float
    wait: float
    """Seconds from the attempt's start to its first content."""
    prompt_tokens: int = 0
    """About how long the prompt was: long ones take longer to read."""


class AttemptEnded(Struct, frozen=True, gc=False):
    """`fault` None = a complete answer. `cancelled` = we gave it up ourselves (client gone, another won):
    says nothing about the server."""

    server: str
    model: str
    at: float
    fault: FaultKind | None = None
    detail: str = ""
    cancelled: bool = False
    tokens: int = 0
    seconds: float = 0.0
    """From the first content to the end; 0 when there was none."""
    retry_after: float | None = None
    waited: float = 0.0
    """Seconds without any content, of an attempt that ended before its first."""
    prompt_tokens: int = 0


class Judged(Struct, frozen=True, gc=False):
    """A server that holds more than can be believed was tried (`canary.py`)."""

    server: str
    at: float
    lie: str = ""
    """What proves that its answers come from no model; empty = nothing does."""


Fact = Listed | ProbeFailed | Warm | Shown | Lacks | AttemptStarted | FirstToken | AttemptEnded | Judged

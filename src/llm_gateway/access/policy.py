"""Who may do what: the plain objects that the hot path knows of the configuration, and the rules on them.

`Snapshot` is immutable; a new one replaces it when the configuration changes. No request reads a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, get_args


class Trust(StrEnum):
    """Whose machine a server is, so who sees the prompts."""

    OWN = "own"
    PARTNER = "partner"
    PUBLIC = "public"


class Owner(StrEnum):
    """Where an object is changed: what the config file holds is read-only elsewhere."""

    DATABASE = "database"
    FILE = "file"


DEFAULT_TRUST: frozenset[Trust] = frozenset({Trust.OWN, Trust.PARTNER})
"""Of every project but the first-run one: public servers only when asked for by name."""


LimitName = Literal[
    "rate_limit_per_minute",
    "tokens_per_minute",
    "max_concurrency",
    "daily_tokens",
    "monthly_tokens",
    "daily_cost",
    "monthly_cost",
]
LIMITS: Final[tuple[LimitName, ...]] = get_args(LimitName)
"""What a project and each of its keys may use, in the order in which people read it. Absent = unlimited. Costs are in
the unit that the prices are in, whole days and months are UTC's."""


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    """UUID as text."""
    name: str
    description: str = ""
    is_active: bool = True
    trust: frozenset[Trust] = DEFAULT_TRUST
    public_tools: bool = False
    """May requests with tools use public servers?"""
    rate_limit_per_minute: int | None = None
    """None = unlimited, as for every limit."""
    tokens_per_minute: int | None = None
    max_concurrency: int | None = None
    daily_tokens: int | None = None
    monthly_tokens: int | None = None
    daily_cost: float | None = None
    monthly_cost: float | None = None
    store_payloads: bool = False
    """Keep prompts and answers, redacted?"""
    payload_days: int | None = None
    """Days that they are kept; None = as the settings say."""
    redact: tuple[str, ...] = ()
    """Patterns of its own (regular expressions) besides the built-in ones."""
    allowed_models: frozenset[str] | None = None
    """None = its logical names and every physical name that its trust classes reach."""
    owner: Owner = Owner.DATABASE
    created_at: float = 0.0
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    project_id: str
    name: str
    hash: bytes
    """SHA-256 of the key, 32 bytes: all that is kept of it beside prefix and last4."""
    prefix: str
    """The first characters, for people to recognise it: `llmgw_k3J`."""
    last4: str
    expires_at: float | None = None
    """Unix seconds; after it (60 s tolerance) the key is unknown."""
    revoked_at: float | None = None
    created_at: float = 0.0
    owner: Owner = Owner.DATABASE
    rate_limit_per_minute: int | None = None
    """As all limits: within those of its project."""
    tokens_per_minute: int | None = None
    max_concurrency: int | None = None
    daily_tokens: int | None = None
    monthly_tokens: int | None = None
    daily_cost: float | None = None
    monthly_cost: float | None = None


MOST_NANOS: Final = 10**14
"""What one request costs at most: of a nonsense that a server counts, a day's sum must fit its column as well."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens, in whatever unit an operator counts in."""

    input: float = 0.0
    output: float = 0.0

    def of(self, tokens_input: int, tokens_output: int) -> int:
        """Billionths of the unit, whole: sums of them are exact. At most MOST_NANOS."""
        return min(MOST_NANOS, round((tokens_input * self.input + tokens_output * self.output) * 1000))


@dataclass(frozen=True, slots=True)
class Exposure:
    """A logical name -> physical models in order of preference, with default parameters."""

    id: str
    project_id: str | None
    """None = shared by all projects; a project's own name wins."""
    logical_name: str
    backend: tuple[str, ...]
    description: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    price: Price | None = None
    owner: Owner = Owner.DATABASE
    created_at: float = 0.0


class Caller(NamedTuple):
    """Who is asking: the result of `identify`."""

    project: Project
    key: ApiKey


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The configuration as the hot path sees it."""

    version: int = 0
    keys: Mapping[bytes, ApiKey] = field(default_factory=dict)
    """By hash."""
    projects: Mapping[str, Project] = field(default_factory=dict)
    """By id."""
    exposures: Mapping[tuple[str | None, str], Exposure] = field(default_factory=dict)
    """By (project id or None, logical name)."""


def permitted(project: Project, *, tools: bool) -> frozenset[Trust]:
    """The classes of servers that may see this request. Tool calls of strangers' models are untrusted code, so a
    request with tools uses public servers only where the project says so."""
    if tools and not project.public_tools:
        return project.trust - {Trust.PUBLIC}
    return project.trust

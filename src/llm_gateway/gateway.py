"""The assembled gateway: the parts that a request needs, and nothing that happens by itself.

`assemble` builds one, tests build their own; it is passed explicitly and there is no global one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import structlog

from llm_gateway import exposures
from llm_gateway.access.identify import FailedKeys, identify
from llm_gateway.access.limits import Lease, Limits, rate_headers
from llm_gateway.access.policy import Caller, Project, Snapshot, Trust
from llm_gateway.access.pressure import Pressure
from llm_gateway.clock import Clock, Ids
from llm_gateway.errors import DatabaseUnavailable, InvalidKey, RateLimited
from llm_gateway.exposures import Target, Visible
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.ledger.entry import Entry
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.names import pinned
from llm_gateway.observe.metrics import Metrics
from llm_gateway.upstream.drive import Drive
from llm_gateway.wire.checked import MOST_TOKENS


class Opening(Protocol):
    """What a request's row knows of the call before anything was read."""

    id: UUID
    endpoint: str
    client_request_id: str | None
    left: str | None
    """Why the client is no longer there; None while it is."""


LOGGED = (
    *("endpoint", "status", "outcome", "error_code", "model", "backend_model", "server_id", "stream"),
    *("latency_ms", "ttft_ms", "attempts", "tokens_input", "tokens_output"),
)
"""Fields of the one line that a request leaves in the process's log."""
RETRY = 5.0
"""Seconds after which a client asks again that came before the gateway knew any key."""
LISTS = 32
"""Projects whose list of models is kept."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Gateway:
    """What a request walks through. `snapshot` is replaced as a whole when the configuration changes."""

    clock: Clock
    ids: Ids
    fleet: Fleet
    drive: Drive
    ledger: Ledger
    metrics: Metrics
    max_text: int = 4 * 2**20
    """Bytes of a request's body besides its images."""
    max_tokens: int = MOST_TOKENS
    """Of one answer, where no exposure says more."""
    limits: Limits = field(default_factory=Limits)
    failed_keys: FailedKeys = field(default_factory=FailedKeys)
    pressure: Pressure = field(default_factory=Pressure)
    snapshot: Snapshot = field(default_factory=Snapshot)
    knows_keys: bool = True
    """False: the gateway started without its database and knows of no configuration, so no key is known to be wrong."""
    used_keys: dict[str, float] = field(default_factory=dict)
    """Key id -> Unix time of its latest use, written to the database now and then."""
    draining: bool = False
    """True from the moment the process was asked to stop."""
    _lists: dict[Project, Sequence[Visible]] = field(default_factory=dict)
    _lists_of: tuple[Snapshot | None, int] = (None, 0)
    """The configuration and the generation of the fleet that the lists were made of."""

    def identify(self, key: str | None, peer: str) -> Caller:
        """Raises InvalidKey, ProjectDisabled, TooManyFailedKeys; DatabaseUnavailable where no key is known."""
        if not self.knows_keys:
            raise DatabaseUnavailable(
                "The gateway started without its database and does not know any key yet. Ask again in a moment.",
                retry_after=RETRY,
            )
        try:
            caller = identify(self.snapshot, key, self.clock.wall())
        except InvalidKey:
            self.metrics.auth_failed()
            if key:  # a request without any is no guess
                self.failed_keys.failed(peer, self.clock.now())
            raise
        self.used_keys[caller.key.id] = self.clock.wall()
        return caller

    def admit(self, caller: Caller) -> Lease:
        """A place within the project's limits. Raises RateLimited, ConcurrencyLimited."""
        try:
            return self.limits.admit(caller, self.clock.now())
        except RateLimited as refused:
            self.metrics.rate_limited(caller.project.name)
            refused.headers = rate_headers(self.limits.standing(caller.project, self.clock.now()))
            raise

    def entry(self, call: Opening, caller: Caller) -> Entry:
        """The request's row; from here on there is exactly one."""
        self.metrics.request_began()
        return Entry(self, self.clock, call.id, caller, call.endpoint, call.client_request_id, lambda: call.left)

    def opened(self, entry: Entry) -> None:
        """Writes down that a request goes upstream. Raises LogUnavailable where the operator wants it strict."""
        self.ledger.opened(entry.id, entry.row())

    def closed(self, entry: Entry) -> None:
        row = entry.record()
        self.ledger.closed(entry.id, row)
        self.metrics.request_ended(entry)
        log.info(
            "request",
            request_id=row["id"],
            project=entry.caller.project.name,
            **{name: row[name] for name in LOGGED if row[name] is not None},
            **({"continuations": len(entry.servers) - 1, "servers": entry.servers} if len(entry.servers) > 1 else {}),
        )

    def resolve(self, project: Project, asked: str) -> Target:
        """Raises ModelNotFound, NoPermittedUpstream."""
        return exposures.resolve(
            self.snapshot, project, asked, self.fleet.holders, self._spelling, lambda: self.visible(project)
        )

    def _spelling(self, model: str) -> str | None:
        details = self.fleet.details(model)
        if details is None or pinned(model).digest is None:
            return details.name if details else None
        return f"{details.name}@sha256:{details.digest}"

    def visible(self, project: Project) -> Sequence[Visible]:
        """All that the project may ask for. Kept while nothing of it changes: strangers' servers make the list as long
        as they like, and every mistyped name needs it."""
        snapshot, generation = self._lists_of
        if snapshot is not self.snapshot or generation != self.fleet.generation:
            self._lists_of, self._lists = (self.snapshot, self.fleet.generation), {}
        found = self._lists.get(project)
        if found is None:
            if len(self._lists) >= LISTS:
                self._lists.clear()
            found = self._lists[project] = exposures.visible(self.snapshot, project, self.fleet.names)
        return found

    def holds(self, backends: Iterable[str], trust: frozenset[Trust]) -> bool:
        """Does any server of these trust classes hold one of the models?"""
        return any(self.fleet.holders(backend) & trust for backend in backends)

"""The assembled gateway: the parts that a request needs, and nothing that happens by itself.

`assemble` builds one, tests build their own; it is passed explicitly and there is no global one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from llm_gateway import exposures
from llm_gateway.access.identify import FailedKeys, identify
from llm_gateway.access.limits import Lease, Limits
from llm_gateway.access.policy import Caller, Project, Snapshot, Trust
from llm_gateway.access.pressure import Pressure
from llm_gateway.access.refusals import Ask
from llm_gateway.clock import Clock, Ids
from llm_gateway.errors import DatabaseUnavailable, GatewayError, InvalidKey, ProjectDisabled, RateLimited
from llm_gateway.exposures import Target, Visible
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.ledger.bounds import Templates
from llm_gateway.ledger.entry import Entry
from llm_gateway.ledger.journal import Row
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.payloads import Payloads
from llm_gateway.ledger.transcript import Transcript
from llm_gateway.names import pinned
from llm_gateway.observe import line
from llm_gateway.observe.metrics import Metrics
from llm_gateway.observe.parent import trace_of
from llm_gateway.upstream.drive import Drive
from llm_gateway.wire.checked import MOST_TOKENS

if TYPE_CHECKING:  # a gateway without Redis never loads its client
    from llm_gateway.shared.limits import SharedLimits


class Opening(Protocol):
    """What a request's row knows of the call before anything was read."""

    id: UUID
    endpoint: str
    client_request_id: str | None
    traceparent: str | None
    """The header of that name."""
    left: str | None
    """Why the client is no longer there; None while it is."""
    streams: bool | None
    """What the path says about streaming; None = the body decides."""

    @property
    def ending(self) -> bool:
        """Is it being given up: its client is gone, or it was stopped?"""

    def stop(self, error: GatewayError) -> None:
        """Ends the request by this error, which the client is told."""


RETRY = 5.0
"""Seconds after which a client asks again that came before the gateway knew any key."""
LISTS = 32
"""Projects whose list of models is kept."""
ENDED = 200
"""Rows that are kept for those who look on."""
TARGETS = 1024
"""Asked names of which it is kept what they mean."""


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
    attempt_rows: float = 1.0
    """Share of requests whose attempts are written down: as `Entry.told`."""
    limits: Limits = field(default_factory=Limits)
    shared_limits: SharedLimits | None = None
    """The same limits for all processes together; None = there is only this one."""
    templates: Templates = field(default_factory=Templates)
    failed_keys: FailedKeys = field(default_factory=FailedKeys)
    pressure: Pressure = field(default_factory=Pressure)
    snapshot: Snapshot = field(default_factory=Snapshot)
    knows_keys: bool = True
    """False: the gateway started without its database and knows of no configuration, so no key is known to be wrong."""
    used_keys: dict[str, float] = field(default_factory=dict)
    """Key id -> Unix time of its latest use, written to the database now and then."""
    in_flight: dict[Entry, Opening] = field(default_factory=dict)
    """Requests with a row that is not closed yet, in the order of their admission."""
    ended: deque[Row] = field(default_factory=lambda: deque(maxlen=ENDED))
    """The latest rows that were closed."""
    observers: list[Callable[[Entry], None]] = field(default_factory=list)
    """Called with each request that was closed; they may neither wait nor raise."""
    payloads: Payloads | None = None
    """Where prompts and answers go, of projects that keep them."""
    draining: bool = False
    """True from the moment the process was asked to stop."""
    _lists: dict[Project, Sequence[Visible]] = field(default_factory=dict)
    _lists_of: tuple[Snapshot | None, int] = (None, 0)
    """The configuration and the generation of the fleet that the lists were made of."""
    _targets: dict[tuple[int, str], tuple[Project, Target]] = field(default_factory=dict)
    """By the project's object and the asked name. The objects are kept, so no other one can have the same id."""
    _targets_of: tuple[Snapshot | None, int] = (None, 0)
    """As `_lists_of`."""

    def identify(self, key: str | None, peer: str) -> Caller:
        """Raises InvalidKey, ProjectDisabled, TooManyFailedKeys; DatabaseUnavailable where no key is known."""
        if not self.knows_keys:
            raise DatabaseUnavailable(
                "The gateway started without its database and does not know any key yet. Ask again in a moment.",
                retry_after=RETRY,
            )
        wall = self.clock.wall()
        try:
            caller = identify(self.snapshot, key, wall)
        except InvalidKey:
            self.metrics.auth_failed()
            if key:  # a request without any is no guess
                self.failed_keys.failed(peer, self.clock.now())
            raise
        except ProjectDisabled:
            self.metrics.auth_failed()
            raise
        self.used_keys[caller.key.id] = wall
        return caller

    async def admit(self, caller: Caller) -> Lease:
        """A place within the limits of the project and the key. Raises RateLimited and its kin."""
        try:
            if self.shared_limits is not None:
                return await self.shared_limits.admit(caller)
            return self.limits.admit(caller, self.clock.now(), self.clock.wall())
        except RateLimited as refused:
            self.metrics.rate_limited(caller.project.name, refused.limit)
            refused.headers += self.limits.headers(caller, self.clock.now(), self.clock.wall())
            raise

    async def reserve(self, lease: Lease, ask: Ask) -> None:
        """Room for what an admitted request may use. Raises TokensLimited, BudgetExceeded, BudgetReserved, without the
        headers, which are the lease's."""
        try:
            if self.shared_limits is not None:
                await self.shared_limits.reserve(lease, ask)
            else:
                self.limits.reserve(lease, ask, self.clock.now(), self.clock.wall())
        except RateLimited as refused:
            self.metrics.rate_limited(lease.caller.project.name, refused.limit)
            raise

    def entry(self, call: Opening, lease: Lease) -> Entry:
        """The request's row; from here on there is exactly one."""
        self.metrics.request_began()
        entry = Entry(
            self,
            self.clock,
            call.id,
            lease.caller,
            call.endpoint,
            call.client_request_id,
            lambda: call.left,
            call.traceparent,
            lease,
        )
        if lease.caller.project.store_payloads and self.payloads is not None:
            entry.transcript = Transcript()
        self.in_flight[entry] = call
        return entry

    def opened(self, entry: Entry) -> None:
        """Writes down that a request goes upstream. Raises LogUnavailable where the operator wants it strict."""
        self.ledger.opened(entry.id, entry.began_row())

    def refused(self, entry: Entry) -> None:
        self.metrics.request_refused()
        self.in_flight.pop(entry, None)
        if entry.lease is not None:
            entry.lease.release()

    def closed(self, entry: Entry) -> None:
        lease, usage = entry.lease, entry.usage
        if lease is not None:  # before the last bytes leave: who has them may ask again at once
            if usage is not None and lease.counted:
                lease.spend(usage.input + usage.output, entry.cost)
            lease.release()
        if entry.bound is not None and entry.bound.excess and entry.backend_model:
            self.templates.learn(entry.backend_model, entry.bound.excess)
        row = entry.row()
        self.in_flight.pop(entry, None)
        self.ended.append(row)
        self.ledger.closed(entry.id, row, entry.told(self.attempt_rows))
        if entry.transcript is not None and self.payloads is not None:
            self.payloads.put(entry, entry.transcript)
        self.metrics.request_ended(entry)
        for observer in self.observers:
            observer(entry)
        trace = trace_of(entry.traceparent) if entry.traceparent else None
        line.tell(row, entry.caller.project.name, entry.servers, trace and trace.trace)

    def resolve(self, project: Project, asked: str) -> Target:
        """Raises ModelNotFound, NoPermittedUpstream. What a name means is kept while nothing of it changes."""
        snapshot, generation = self._targets_of
        if snapshot is not self.snapshot or generation != self.fleet.generation:
            self._targets_of, self._targets = (self.snapshot, self.fleet.generation), {}
        found = self._targets.get((id(project), asked))
        if found is None:
            if len(self._targets) >= TARGETS:
                self._targets.clear()
            target = exposures.resolve(
                self.snapshot, project, asked, self.fleet.holders, self._spelling, lambda: self.visible(project)
            )
            found = self._targets[id(project), asked] = project, target
        return found[1]

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

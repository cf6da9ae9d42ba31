"""The guard of labels: however many names projects, models and servers have, time series stay few.

A label's value comes from the configuration, the code or the fleet; each label takes a bounded number of different
values, each metric a bounded number of sets of them. What comes later is counted as `other`: sums stay right.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from llm_gateway.errors import UNRESOLVED
from llm_gateway.observe.ended import Ended, operation

UNKNOWN: Final = "unknown"
"""The model of a request whose name was not read or did not resolve."""
OTHER: Final = "other"
MAX_MODELS: Final = 1000
"""Different model labels of one process."""
MAX_PROJECTS: Final = 500
MAX_SERVERS: Final = 100
MAX_SETS: Final = 2000
"""Different sets of the labels of requests, and of those of attempts."""


class Names:
    """The values of one label."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int) -> None:
        self._known: set[str] = set()
        self._most = most

    def __call__(self, name: str) -> str:
        """The name, or `other` when there are too many."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


class RequestLabels(NamedTuple):
    project: str
    endpoint: str
    operation: str
    provider: str
    model: str
    backend: str
    status: int
    error: str

    @property
    def gen_ai(self) -> tuple[str, ...]:
        """As `families` has them."""
        return (self.operation, self.provider, self.model, self.backend, self.project)


class AttemptLabels(NamedTuple):
    operation: str
    provider: str
    model: str
    error: str


class Labels:
    """All labels of one process."""

    def __init__(self) -> None:
        self.project = Names(MAX_PROJECTS)
        self.model = Names(MAX_MODELS)
        self.server = Names(MAX_SERVERS)
        self._requests: set[RequestLabels] = set()
        self._attempts: set[AttemptLabels] = set()

    def of_request(self, request: Ended) -> RequestLabels:
        resolved = request.model is not None and request.error_code not in UNRESOLVED
        labels = RequestLabels(
            self.project(request.caller.project.name),
            request.endpoint,
            operation(request.endpoint),
            request.provider,
            self.model(request.model) if resolved and request.model else UNKNOWN,
            self.model(request.backend_model) if request.backend_model else "",
            request.status,
            request.error_code or "",
        )
        if labels not in self._requests:
            if len(self._requests) >= MAX_SETS:
                return labels._replace(project=OTHER, model=OTHER, backend=OTHER if labels.backend else "")
            self._requests.add(labels)
        return labels

    def of_attempt(self, operation: str, provider: str, model: str, error: str) -> AttemptLabels:
        labels = AttemptLabels(operation, provider, self.model(model), error)
        if labels not in self._attempts:
            if len(self._attempts) >= MAX_SETS:
                return labels._replace(model=OTHER)
            self._attempts.add(labels)
        return labels

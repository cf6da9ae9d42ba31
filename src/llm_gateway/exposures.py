"""(project, asked name) -> what is meant: a logical name's backends and defaults, or a physical model itself.

Also the other way round: everything that a project may ask for, which is what `GET /v1/models` lists. The two agree:
a name is listed exactly when `resolve` does not answer it with ModelNotFound (names that only servers of a forbidden
trust class hold are known, so they are refused rather than not found, but they are not listed either).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from llm_gateway.access.policy import Exposure, Price, Project, Snapshot, Trust
from llm_gateway.errors import InvalidRequest, ModelNotFound, NoPermittedUpstream
from llm_gateway.names import SHORTEST_PIN, canonical, mistaken_pin, pinned

Holders = Callable[[str], frozenset[Trust]]
"""Physical name (any spelling) -> the trust classes of the servers known to hold it; empty = nobody does."""
Names = Callable[[], Iterable[tuple[str, frozenset[Trust]]]]
"""Every physical name that some server is known to hold, as it is listed there, with those servers' classes."""
Spelling = Callable[[str], str | None]
"""Physical name (any spelling) -> as the servers list it; None = nobody holds it."""
Listing = Callable[[], Sequence["Visible"]]
"""What `visible` says of the project, asked only when a name means nothing to it."""

SHOWN: Final = 20
"""Names that an error message lists."""
ECHO: Final = 120
"""Characters of an asked name that an error message repeats."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is meant for."""

    logical: str
    """The name it is known by here: an exposure's, or a physical name as servers list it (or in canonical form).
    Never a client's own spelling, so it is safe as a label."""
    backends: tuple[str, ...]
    """Physical names in order of preference; a pinned one (`names.pinned`) means that digest and no other."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Defaults, by the names of `wire.params`."""
    exposure: Exposure | None = None
    """None = a physical name used directly."""

    @property
    def price(self) -> Price | None:
        """None = its tokens cost nothing."""
        return self.exposure.price if self.exposure else None


@dataclass(frozen=True, slots=True)
class Visible:
    """One line of a project's model list."""

    name: str
    backends: tuple[str, ...]
    logical: bool
    description: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    created_at: float = 0.0
    """Unix seconds; 0 for physical names."""


def resolve(
    snapshot: Snapshot, project: Project, asked: str, holders: Holders, spelling: Spelling, listing: Listing
) -> Target:
    """What `asked` means for this project: its own logical name, else a shared one, else a physical model.

    Logical names are compared as they are, physical ones by `names.canonical`. Raises ModelNotFound, in the same
    words for a name that does not exist and one that is not allowed, and NoPermittedUpstream when servers are known
    to hold the model but all of trust classes that may not see this project's prompts. A name that an administrator
    exposed or allowed but nobody is known to hold resolves: it may come back, so the fleet answers for it (503). Who
    may ask for a model may also pin it to a digest that somebody holds.
    """
    named = _named(snapshot, project, asked)
    held = holders(asked) if named is None else frozenset()
    if named is None and not held:  # clients of Ollama complete the tag of whatever name they were given
        named = _named(snapshot, project, asked.removesuffix(":latest"))
    if named is not None:
        logical, exposure = named
        _permit(project, asked, exposure.backend, holders)
        return Target(logical, exposure.backend, exposure.params, exposure)
    allowed = _allowed_physical(snapshot, project)
    if allowed is None:
        listed = asked if held else None
    else:
        listed = allowed.get(canonical(asked)) or (asked if held and _unpinned(asked) in allowed else None)
    if listed is None:
        raise _not_found(project, asked, listing())
    _permit(project, asked, (asked,), holders)
    shown = spelling(asked) or listed
    return Target(shown, (shown,))


def visible(snapshot: Snapshot, project: Project, names: Names) -> list[Visible]:
    """All that the project may ask for: logical names first, then physical ones, each by the alphabet."""
    logical: dict[str, Exposure] = {}
    for (owner, name), exposure in snapshot.exposures.items():
        if _allows(project, name) and (owner == project.id or (owner is None and name not in logical)):
            logical[name] = exposure
    allowed = _allowed_physical(snapshot, project)
    if allowed is None:
        physical = dict(names())
    else:  # one that nobody is known to hold is listed too, for it resolves
        known = {canonical(name): (name, trusts) for name, trusts in names()}
        physical = {
            known[form][0] if form in known else name: known.get(form, known.get(_unpinned(name), ("", frozenset())))[1]
            for form, name in allowed.items()
        }
    direct = sorted(
        name
        for name, held in physical.items()
        if name not in logical and (not held or not project.trust.isdisjoint(held))
    )
    return [
        Visible(name, e.backend, True, e.description, e.params, e.created_at) for name, e in sorted(logical.items())
    ] + [Visible(name, (name,), False) for name in direct]


def named(snapshot: Snapshot) -> frozenset[str]:
    """The physical models that somebody has written down: behind logical names, and in projects' lists. In canonical
    form, without pins."""
    backends = (backend for exposure in snapshot.exposures.values() for backend in exposure.backend)
    allowed = (name for project in snapshot.projects.values() for name in project.allowed_models or ())
    return frozenset(map(_unpinned, (*backends, *allowed)))


def merge(defaults: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request: defaults only where it is silent."""
    return {**defaults, **asked}


def check_backends(backends: Iterable[str]) -> None:
    """Raises InvalidRequest for one that looks as if it were pinned to a digest, and is not."""
    for n, backend in enumerate(backends):
        if mistaken_pin(backend):
            raise InvalidRequest(
                f"`backend[{n}]` must end in the {SHORTEST_PIN} to 64 hexadecimal digits of a SHA-256, such as "
                f"llama3.3:70b@sha256:a6eb4748fd29; you sent {backend[:ECHO]!r}.",
                param=f"backend[{n}]",
            )


def _named(snapshot: Snapshot, project: Project, name: str) -> tuple[str, Exposure] | None:
    """The project's own logical name, else a shared one, that is allowed."""
    exposure = snapshot.exposures.get((project.id, name)) or snapshot.exposures.get((None, name))
    return (name, exposure) if exposure is not None and _allows(project, name) else None


def _unpinned(name: str) -> str:
    return pinned(canonical(name)).name


def _allows(project: Project, name: str) -> bool:
    return not project.allowed_models or name in project.allowed_models


def _allowed_physical(snapshot: Snapshot, project: Project) -> dict[str, str] | None:
    """The physical names that the project's list allows, by canonical form; None = no list. A listed name that is a
    logical name here means that one, not a physical model that happens to be called the same."""
    if not project.allowed_models:
        return None
    return {
        canonical(name): name
        for name in sorted(project.allowed_models)
        if (project.id, name) not in snapshot.exposures and (None, name) not in snapshot.exposures
    }


def _permit(project: Project, asked: str, backends: Iterable[str], holders: Holders) -> None:
    """Raises NoPermittedUpstream when the backends are held, but by nobody who may see the project's prompts."""
    held: frozenset[Trust] = frozenset()
    for backend in backends:
        held |= holders(backend)
        if not project.trust.isdisjoint(held):
            return
    if held:
        classes = " or ".join(f"`{trust}`" for trust in sorted(held))
        own = ", ".join(f"`{trust}`" for trust in sorted(project.trust)) or "none"
        raise NoPermittedUpstream(
            f"The model `{asked[:ECHO]}` is served only by {classes} servers, and project `{project.name}` may use: "
            f"{own}. Ask for another model, or let an administrator add {classes} to the `trust` of the project: "
            "such servers will then see its prompts."
        )


def _not_found(project: Project, asked: str, listed: Sequence[Visible]) -> ModelNotFound:
    names = ", ".join(f"`{entry.name}`" for entry in listed[:SHOWN])
    more = f" and {len(listed) - SHOWN} more (GET /v1/models lists all)" if len(listed) > SHOWN else ""
    exposed = f"Exposed are: {names}{more}." if listed else "No model is exposed to it yet."
    return ModelNotFound(
        f"The model `{asked[:ECHO]}` is not exposed to project `{project.name}`. {exposed}",
        param="model",
        details={"model": asked[:ECHO]},
    )

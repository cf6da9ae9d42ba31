"""The servers of the config file. A mistake in one entry is a problem; the other entries are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from llm_gateway.access.policy import Trust
from llm_gateway.errors import InvalidRequest
from llm_gateway.fleet.facts import ListedModel, ServerSpec
from llm_gateway.upstream.sources.catalogue import Catalogue, base_url

NAME = "configured"


class ServerEntry(Protocol):
    """What is needed of an entry of `servers:`."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def trust(self) -> str: ...
    @property
    def api_key_env(self) -> str | None:
        """The environment variable that holds the server's key."""

    @property
    def max_concurrency(self) -> int | None: ...
    @property
    def hedge(self) -> bool: ...
    @property
    def models(self) -> Sequence[str]:
        """Names that it holds, believed until the server has been asked."""


def read(servers: Iterable[ServerEntry], environ: Mapping[str, str], kinds: Iterable[str]) -> Catalogue:
    """The servers as specs, keys taken from `environ`. `kinds` are the names that a server's kind may have."""
    known, specs, problems = sorted(kinds), [], []
    names: set[str] = set()
    urls: dict[str, str] = {}
    for entry in servers:
        try:
            spec = _spec(entry, environ, known)
        except InvalidRequest as wrong:
            problems.append(f"Server {entry.name} was left out: {wrong.message}")
            continue
        if spec.name in names:
            problems.append(f"Server {spec.name}: the name is used twice; the first one counts.")
            continue
        if spec.url in urls:
            problems.append(f"Server {spec.name}: it has the same address as {urls[spec.url]}; it was left out.")
            continue
        if entry.api_key_env and not spec.api_key:
            problems.append(f"Server {spec.name}: {entry.api_key_env} is not set, so it is asked without a key.")
        names.add(spec.name)
        urls[spec.url] = spec.name
        specs.append(spec)
    return Catalogue(specs=specs, problems=problems, entries=len(specs))


def _spec(entry: ServerEntry, environ: Mapping[str, str], kinds: list[str]) -> ServerSpec:
    if entry.kind not in kinds:
        raise InvalidRequest(f"Its kind is {entry.kind!r}, not one of {', '.join(kinds)}.", param="kind")
    if entry.trust not in list(Trust):
        raise InvalidRequest(f"Its trust is {entry.trust!r}, not one of {', '.join(Trust)}.", param="trust")
    key = environ.get(entry.api_key_env, "").strip() if entry.api_key_env else ""
    if not (key.isascii() and key.isprintable()):
        said = f"The key in {entry.api_key_env} holds characters that no header may carry."
        raise InvalidRequest(said, param="api_key_env")
    return ServerSpec(
        id="",
        name=entry.name,
        url=base_url(entry.url),
        kind=entry.kind,
        trust=Trust(entry.trust),
        source=NAME,
        api_key=key or None,
        max_concurrency=entry.max_concurrency,
        hedge=entry.hedge,
        models=tuple(ListedModel(name) for name in dict.fromkeys(entry.models)),
    )

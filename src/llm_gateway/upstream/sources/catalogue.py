"""What reading a source gives, whatever the source: servers, and what was wrong with it, in sentences for an admin."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.upstream.guard import Guard

EVERYWHERE = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Servers as one source describes them. Their `id` is empty: storage gives one per (source, url)."""

    specs: list[ServerSpec]
    problems: list[str] = field(default_factory=list)
    """One sentence each; what was wrong is left out of `specs`, the rest is used."""
    version: str | None = None
    """Of the catalogue, where it has one."""
    entries: int = 0
    """Entries that were understood, one per (server, model), or per server where a source lists no models."""


def base_url(url: str) -> str:
    """The one spelling of a server's base URL: canonical host, no default port, no trailing slash.

    Only the form is judged here, since a server that may not be reached from this installation may still be listed:
    where to connect is the real guard's to say, each time. Raises InvalidRequest.
    """
    origin, base = Guard(allow_private=EVERYWHERE).check_url(url)
    return f"{origin}{base}"

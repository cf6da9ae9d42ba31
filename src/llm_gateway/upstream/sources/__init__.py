"""Where servers come from. A source of strangers' servers is a file with `read(path, trust, now)` and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from llm_gateway.access.policy import Trust
from llm_gateway.upstream.sources import ollamafreeapi
from llm_gateway.upstream.sources.catalogue import Catalogue

__all__ = ["CATALOGUES", "Catalogue"]

CATALOGUES: Final[Mapping[str, Callable[[Path | None, Trust, float], Catalogue]]] = {
    ollamafreeapi.NAME: ollamafreeapi.read,
}
"""Catalogues of other people's servers by the name they have under `sources:` in the config file. The team's own
servers, `servers:` in the same file, are read by `sources.configured.read`."""

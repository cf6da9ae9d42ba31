"""The community's catalogue of Ollama servers: the data files of the PyPI package `ollamafreeapi`.

The package itself is found but never imported: its import takes a quarter of a second and pulls in a client, and
its reader prints, and drops the digests that tell a model from its name. What is read here equals what its public
API lists (a test compares), plus the digests. Everything in the files was typed by strangers: a file or an entry
that is not usable becomes a problem, never an error.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from llm_gateway.access.policy import Trust
from llm_gateway.errors import InvalidRequest
from llm_gateway.fleet.facts import ListedModel, ServerSpec
from llm_gateway.upstream.sources.catalogue import Catalogue, base_url

NAME = "ollamafreeapi"

LARGEST_FILE = 32 * 2**20
"""Bytes; the largest of release 0.1.4 has 30,000."""
MOST_PROBLEMS = 50
"""More are counted, not told."""

_FILES = "ollama_json"
"""The package's folder of data files."""
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
_VERSION = re.compile(r"""^VERSION\s*=\s*["']([\w.+!-]{1,40})["']""", re.MULTILINE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/", re.IGNORECASE)


def read(path: Path | None, trust: Trust, now: float) -> Catalogue:
    """The catalogue at `path` (a folder of JSON files, or of the package), else the installed package's, as of `now`
    (Unix seconds).

    Reads files, so it blocks for some milliseconds. Never raises for what it finds: see `Catalogue.problems`.
    """
    folder = path if path is not None else _installed()
    if folder is None:
        return Catalogue([], ["The package ollamafreeapi is not installed and no path to a copy of it is set."])
    reader = _Reader()
    data = folder / _FILES if (folder / _FILES).is_dir() else folder
    try:
        files = sorted(file for file in data.iterdir() if file.suffix == ".json")
    except OSError as error:
        return Catalogue([], [f"The catalogue folder {data} cannot be read: {error.strerror}."])
    if not files:
        reader.problems.append(f"The catalogue folder {data} holds no .json file.")
    for file in files:
        reader.read_file(file)
    return Catalogue(
        specs=reader.specs(trust, now),
        problems=_bounded(reader.problems),
        version=_version(data.parent) if data.name == _FILES else None,
        entries=reader.entries,
    )


def _installed() -> Path | None:
    spec = importlib.util.find_spec(NAME)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _version(folder: Path) -> str | None:
    try:
        found = _VERSION.search((folder / "version.py").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found[1] if found else None


def _bounded(problems: list[str]) -> list[str]:
    more = len(problems) - MOST_PROBLEMS
    return problems if more <= 0 else [*problems[:MOST_PROBLEMS], f"… and {more} more problems."]


@dataclass(slots=True)
class _Server:
    country: str | None = None
    seen_at: float = -math.inf
    """Unix seconds: when it was last tested with success, or a model was added to it."""
    models: dict[str, ListedModel] = field(default_factory=dict)


@dataclass(slots=True)
class _Reader:
    """Collects servers by URL while files are read one after the other."""

    servers: dict[str, _Server] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    entries: int = 0

    def read_file(self, file: Path) -> None:
        try:
            if file.stat().st_size > LARGEST_FILE:
                self.problems.append(f"{file.name} is larger than {LARGEST_FILE >> 20} MiB and was left out.")
                return
            raw = file.read_bytes()
        except OSError as error:
            self.problems.append(f"{file.name} cannot be read: {error.strerror}.")
            return
        try:
            found = _models(json.loads(raw))
        except (ValueError, RecursionError):
            self.problems.append(f"{file.name} is not JSON and was left out.")
            return
        if found is None:
            self.problems.append(f"{file.name} holds no list of models and was left out.")
            return
        for number, entry in enumerate(found, start=1):
            for why in self._read_entry(entry):
                self.problems.append(f"{file.name}, entry {number}: {why}")

    def _read_entry(self, entry: Any) -> Iterator[str]:
        if not isinstance(entry, dict):
            yield "it is not an object."
            return
        name = _text(entry.get("model_name") or entry.get("model") or entry.get("name"))
        if name is None:
            yield "it names no model."
            return
        address = entry.get("ip_port")
        if not isinstance(address, str) or not address:
            yield f"no server address (ip_port) for {name}."
            return
        try:
            # The field is called ip_port, and Ollama's own clients take `host:port` for plain http.
            url = base_url(address if _SCHEME.match(address) else f"http://{address}")
        except InvalidRequest as wrong:
            yield wrong.message
            return
        server = self.servers.setdefault(url, _Server())
        server.seen_at = max(server.seen_at, _seen_at(entry))
        server.country = server.country or _country(entry.get("ip_country_iso_code"))
        if name in server.models:
            yield f"{name} is listed twice for the same server; the first one counts."
            return
        digest = _digest(entry.get("digest"))
        if digest is None and entry.get("digest"):
            yield f"the digest of {name} is not a SHA-256; the model is used without it."
        server.models[name] = ListedModel(
            name=name,
            digest=digest,
            family=_text(entry.get("family")),
            parameter_size=_text(entry.get("parameter_size")),
            quantization=_text(entry.get("quantization_level")),
            size=_size(entry.get("size")),
            tokens_per_second=_rate(entry),
        )
        self.entries += 1

    def specs(self, trust: Trust, now: float) -> list[ServerSpec]:
        """One per server, named by country and number so that a name can be shown without the address."""

        def country(url: str) -> str:
            return (self.servers[url].country or "zz").lower()

        specs = []
        for code, urls in groupby(sorted(self.servers, key=lambda url: (country(url), url)), key=country):
            for number, url in enumerate(urls, start=1):
                server = self.servers[url]
                specs.append(
                    ServerSpec(
                        id="",
                        name=f"oll-{code}-{number}",
                        url=url,
                        kind="ollama",
                        trust=trust,
                        source=NAME,
                        models=tuple(server.models[name] for name in sorted(server.models)),
                        country=server.country,
                        seen_ago=max(0.0, now - server.seen_at) if math.isfinite(server.seen_at) else None,
                    )
                )
        return specs


def _models(data: Any) -> list[Any] | None:
    """The list of models in each of the shapes that the package accepts, None where there is none."""
    if isinstance(data, dict):
        props = data.get("props")
        page = props.get("pageProps") if isinstance(props, dict) else None
        data = (page if isinstance(page, dict) else data).get("models")
    return data if isinstance(data, list) else None


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    value = value.strip()
    return value if value and len(value) <= 200 and value.isprintable() else None


def _country(value: Any) -> str | None:
    code = _text(value)
    return code.upper() if code and len(code) == 2 and code.isascii() and code.isalpha() else None


def _digest(value: Any) -> str | None:
    found = _DIGEST.fullmatch(value) if isinstance(value, str) else None
    return found[1].lower() if found else None


def _size(value: Any) -> int | None:
    size = _number(value)
    return int(size) if size is not None else None


def _rate(entry: dict[str, Any]) -> float | None:
    """Tokens per second, where the catalogue's own measurement succeeded."""
    return _number(entry.get("perf_tokens_per_second")) if entry.get("perf_status", "success") == "success" else None


def _seen_at(entry: dict[str, Any]) -> float:
    """Unix seconds; minus infinity where the catalogue does not tell."""
    tested = entry.get("perf_last_tested") if entry.get("perf_status", "success") == "success" else None
    return max(_moment(tested), _moment(entry.get("date_added")))


def _moment(value: Any) -> float:
    if not isinstance(value, str) or len(value) > 40:
        return -math.inf
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        return -math.inf
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _number(value: Any) -> float | None:
    """A positive number, also as text (the package's files hold both)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None

"""The shape that the code keeps, as tables and pure checks over syntax trees.

`ALLOWED` is the import picture of the design. An entry is a module or a package of `llm_gateway`; a package covers
what lies in it. Imports for type checking and imports inside functions count like all others: what a module names it
depends on.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = "llm_gateway"

GROUND: Final = ("errors", "clock", "names", "said")
CORES: Final = ("wire", "fleet", "access", "exposures")
OUTSIDE: Final = ("ledger", "upstream", "storage", "shared")
INNER: Final = (*GROUND, *CORES, *OUTSIDE, "observe", "gateway", "service", "alerts")
ALERTS: Final = ("alerts.rules", "alerts.plan", "alerts.states", "alerts.message", "alerts.readings")
WHOLE: Final = ("assemble", "running")
EDGES: Final = ("settings", "config")

ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    # what everything stands on
    "": (),
    "errors": (),
    "clock": (),
    "names": (),
    "said": (),
    # how work goes on beside the requests: a leaf
    "background": (),
    # pure cores
    "wire": GROUND,
    "access": GROUND,
    "exposures": (*GROUND, "access"),
    "fleet": (*GROUND, "access.policy", "exposures", "wire"),
    # what is told about all of it: a leaf
    "observe": ("errors", "clock"),
    # the world outside
    "storage": (*GROUND, *CORES),
    "upstream": (*GROUND, *CORES, "observe"),
    "ledger": (*GROUND, *CORES, "observe", "storage"),
    "shared": (*GROUND, *CORES, "observe"),
    # the parts together, and what is done with them
    "gateway": (*GROUND, *CORES, *OUTSIDE, "observe"),
    "service": (*GROUND, *CORES, *OUTSIDE, "observe", "gateway"),
    # what operators are told of their own accord: rules and states are pure, the rest looks at all of the above
    **dict.fromkeys(ALERTS, ("names", "access.policy", *ALERTS)),
    "alerts": (*GROUND, *CORES, *OUTSIDE, "observe", "gateway"),
    # settings and files are read at the edges, and so by `alembic` when it is called by itself
    "storage.migrations": ("errors", "storage", "config"),
    "settings": ("errors", "access.policy", "passwords"),
    "config": (
        *GROUND,
        "settings",
        "access",
        "wire.params",
        "fleet.facts",
        "alerts.rules",
        "alerts.plan",
        "storage",
        "upstream.guard",
        "upstream.kinds",
        "upstream.sources",
    ),
    # what a start does once
    "first_run": ("access", "errors", "passwords", "settings", "storage"),
    "learnt": (*GROUND, "fleet", "first_run"),
    "last_known": (*GROUND, "access.policy", "first_run", "storage"),
    "roster": (*GROUND, "access", "fleet", "settings", "storage", "upstream.sources"),
    "preparation": (*GROUND, *EDGES, "first_run", "roster", "storage", "upstream.kinds", "upstream.sources"),
    "running": (*INNER, *EDGES, "first_run", "last_known", "learnt", "preparation", "roster", "testing"),
    "assemble": (
        *INNER,
        *EDGES,
        "background",
        "first_run",
        "last_known",
        "learnt",
        "preparation",
        "roster",
        "running",
        "testing",
    ),
    # how admin users' passwords are kept: a leaf
    "passwords": (),
    # how clients are told to use the gateway: a leaf
    "recipes": (),
    # how tables become CSV: a leaf
    "sheets": (),
    # what the command and the admin API look for that may be wrong
    "findings": ("said",),
    "checkup": ("findings", "settings", "storage", "shared", "upstream.sources"),
    # the outermost
    "web": (*INNER, *EDGES, "passwords", "recipes", "roster", "running", "assemble", "sheets", "findings", "checkup"),
    "cli": (
        *INNER,
        *EDGES,
        "first_run",
        "roster",
        "running",
        "assemble",
        "web",
        "main",
        "testing",
        "recipes",
        "sheets",
        "findings",
        "checkup",
    ),
    "main": ("assemble", "web", "observe", *EDGES),
    "__main__": ("cli",),
    # shipped fakes: they speak the languages and know nothing of the gateway
    "testing": (*GROUND, "wire", "access.policy"),
    "testing.simulate": (*GROUND, "access.policy", "fleet", "testing.churn"),
}

PURE: Final = frozenset({*GROUND, *CORES, *ALERTS} - {"clock"})
"""No waiting, no client, no SQL, no clock, no dice, no logging. `clock` is where the clock is."""
PURE_THIRD_PARTY: Final = frozenset({"msgspec", "regex"})
PURE_STDLIB: Final = frozenset(
    {
        "__future__", "abc", "base64", "bisect", "binascii", "codecs", "collections", "copy", "dataclasses", "enum",
        "functools", "hashlib", "heapq", "hmac", "ipaddress", "itertools", "json", "math", "operator", "re",
        "statistics", "string", "struct", "types", "typing", "unicodedata", "uuid", "zlib",
    }
)  # fmt: skip
PURE_CALLS: Final = frozenset({"open", "print", "input", "uuid1", "uuid4", "uuid7", "now", "utcnow", "today"})
"""By their last name; `now` and the like are allowed as arguments and attributes, not as calls."""

REQUEST_PATHS: Final = frozenset({*PURE, *OUTSIDE, "gateway", "service", "web", "observe"})
NEVER_IMPORTED: Final = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle"})
NOT_IN_REQUEST_PATHS: Final = frozenset({"subprocess", "pty", "runpy", "jinja2"})
NEVER_CALLED: Final = frozenset({"eval", "exec"})
NEVER_CALLED_ON: Final = frozenset({"yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"})


class Source(NamedTuple):
    """A module of the package: its dotted name below `llm_gateway` and its text."""

    name: str
    path: str
    text: str
    package: bool = False

    @property
    def unit(self) -> str:
        """The entry of the picture that it belongs to: the longest that covers it."""
        parts = self.name.split(".")
        names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        return next((name for name in names if name in ALLOWED), parts[0])


class Import(NamedTuple):
    line: int
    module: str
    """Absolute dotted name; of `from a import b` it is `a.b`, for `b` may be a module."""


def sources(src: Path) -> list[Source]:
    found = []
    for path in sorted((src / ROOT).rglob("*.py")):
        parts = path.relative_to(src / ROOT).with_suffix("").parts
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        found.append(Source(name, str(path.relative_to(src.parent)), path.read_text(), package))
    return found


def imports(source: Source) -> Iterator[Import]:
    here = [ROOT, *source.name.split(".")] if source.name else [ROOT]
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = here[: len(here) - node.level + (1 if source.package else 0)]
                base = ".".join([*up, base] if base else up)
            for alias in node.names:
                yield Import(node.lineno, f"{base}.{alias.name}")


def wrong_imports(source: Source) -> list[str]:
    """Lines that point outward, and modules that are not in the picture."""
    unit = source.unit
    if unit not in ALLOWED:
        return [f"{source.path}: `{unit}` is not in the picture: add it to tests/shape/picture.py"]
    found = []
    for line, module in imports(source):
        if module.partition(".")[0] != ROOT:
            continue
        inner = module.removeprefix(ROOT).lstrip(".")
        if inner == "__version__":
            continue
        if not any(inner == allowed or inner.startswith(f"{allowed}.") for allowed in (*ALLOWED[unit], unit)):
            found.append(f"{_at(source, line)} — `{unit}` may not import `{inner}`")
    return found


def impurities(source: Source) -> list[str]:
    """What a pure module may not do."""
    if source.unit not in PURE:
        return []
    found = []
    for line, module in imports(source):
        top = module.partition(".")[0]
        permitted = PURE_STDLIB if top in sys.stdlib_module_names else PURE_THIRD_PARTY | {ROOT}
        if top not in permitted:
            found.append(f"{_at(source, line)} — a pure module may not import `{top}`")
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            found.append(f"{_at(source, node.lineno)} — a pure module does not wait")
        elif isinstance(node, ast.Call) and _last_name(node.func) in PURE_CALLS:
            found.append(f"{_at(source, node.lineno)} — a pure module does not call `{_last_name(node.func)}`")
    return found


def dangers(source: Source) -> list[str]:
    """What turns input into code: `eval`, `exec` and `pickle` anywhere, subprocesses and `yaml.load` where requests
    pass."""
    found = []
    in_path = source.unit in REQUEST_PATHS
    for line, module in imports(source):
        top = module.partition(".")[0]
        if top in NEVER_IMPORTED or (in_path and top in NOT_IN_REQUEST_PATHS):
            found.append(f"{_at(source, line)} — no `{top}` here")
    for node in ast.walk(ast.parse(source.text)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
        if called in NEVER_CALLED or (in_path and called in NEVER_CALLED_ON):
            found.append(f"{_at(source, node.lineno)} — no `{called}` here")
    return found


def _last_name(func: ast.expr) -> str:
    if isinstance(func, ast.Attribute):
        return func.attr
    return func.id if isinstance(func, ast.Name) else ""


def _at(source: Source, line: int) -> str:
    return f"{source.path}:{line}: {source.text.splitlines()[line - 1].strip()}"

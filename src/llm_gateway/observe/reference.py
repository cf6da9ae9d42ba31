"""The page of the docs about metrics, made from the table of families.

`python -m llm_gateway.observe.reference` in the root of the source writes it; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from llm_gateway.observe.families import FAMILIES, Family
from llm_gateway.observe.labels import MAX_MODELS, MAX_PROJECTS, MAX_SERVERS, MAX_SETS, OTHER, UNKNOWN

PAGE: Final = Path("docs/reference/metrics.md")
_INTRO: Final = f"""\
# Metrics

<!-- Made by `python -m llm_gateway.observe.reference`; edit `src/llm_gateway/observe/families.py`. -->

`GET /metrics`, with the admin token as bearer, in Prometheus' text format. How to look at them:
[telemetry](../telemetry.md).

Requests and their attempts are counted when the request's row is closed, so the counters are the sums of the rows of
the request log since the process started. What has no row (401, a disabled project's 403, a rate limit's 429) is only
in counters of its own.

Names that begin with `gen_ai_` follow OpenTelemetry's GenAI conventions. `gen_ai_request_model` is the name that was
asked for (of an attempt: the one that the server was asked for), `gen_ai_response_model` the model that answered,
`gen_ai_provider_name` the kind of API that its server speaks. Labels take bounded values: {MAX_MODELS:,} models,
{MAX_PROJECTS} projects, {MAX_SERVERS} servers, {MAX_SETS:,} combinations; what comes later is counted as `{OTHER}`.
A model name that did not resolve is `{UNKNOWN}`: clients can make up no labels. `error_type` is "" where there was no
error, else the error's code, of an attempt `cancelled` or the fault.
"""


def page() -> str:
    """The text of docs/reference/metrics.md."""
    ours = [family for family in FAMILIES if family.name.startswith("llmgw_")]
    shared = [family for family in FAMILIES if not family.name.startswith("llmgw_")]
    lines = [_INTRO.rstrip("\n"), "", "## By the GenAI conventions", "", *_table(shared)]
    lines += ["", "## Our own", "", *_table(ours)]
    lines += ["", "## Buckets", ""]
    lines += [f"- `{f.name}`: {', '.join(f'{bound:g}' for bound in f.buckets)}" for f in FAMILIES if f.buckets]
    lines += ["", "`process_…` metrics (CPU, memory, open files) are those of Prometheus' client library."]
    return "\n".join(lines) + "\n"


def _table(found: Iterable[Family]) -> Iterator[str]:
    yield "| metric | kind | labels | what it says |"
    yield "| --- | --- | --- | --- |"
    for family in found:
        labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
        yield f"| `{family.name}` | {family.kind} | {labels} | {family.says} |"


def write(root: Path) -> None:
    """The page, below the root of the source."""
    (root / PAGE).parent.mkdir(parents=True, exist_ok=True)
    (root / PAGE).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path.cwd())

"""OpenAI's public description of its answers: does a body of ours satisfy it?"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

_FILE = Path(__file__).parent / "openapi_schemas/openai-2.3.0.json"


@cache
def _schemas() -> dict[str, Any]:
    return dict(json.loads(_FILE.read_text())["$defs"])


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _schemas()})


def conforms(name: str, value: Any) -> None:
    """Raises AssertionError with every place where `value` is no `name`."""
    problems = [f"{error.json_path}: {error.message[:200]}" for error in _validator(name).iter_errors(value)]
    assert problems == [], json.dumps(value)[:2000]

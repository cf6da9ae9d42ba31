"""Answers beside their description in `/openapi.json`: nothing is missing, nothing is there that is not described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator

Operation = tuple[str, str]
"""Method and path as it is described."""


class Description:
    """`seen` are the operations whose answers were compared."""

    def __init__(self, schema: dict[str, Any]) -> None:
        for name, component in schema["components"]["schemas"].items():
            if component.get("properties") and name != "ErrorDetail":  # which some errors add to
                component["additionalProperties"] = False
        self._schema = schema
        self.seen: set[Operation] = set()

    def operations(self, prefix: str) -> set[Operation]:
        return {
            (method.upper(), path)
            for path, methods in self._schema["paths"].items()
            for method in methods
            if path.startswith(prefix)
        }

    def compare(self, answer: httpx.Response) -> Operation | None:
        """The answer was read. Which operation's it is; None: nobody describes it. Raises AssertionError."""
        request = answer.request
        described = self._described(request.method, request.url.path)
        if described is None:
            return None
        operation, responses = described
        found = responses.get(str(answer.status_code), responses["default"])
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if not answer.content:
            assert "application/json" not in found.get("content", {}), operation  # a stream may hold no rows
        else:
            schema = found["content"][kind]["schema"]
            for value in _values(kind, answer):
                wrong = [
                    f"{operation}: {error.json_path}: {error.message[:300]}"
                    for error in self._validator(schema).iter_errors(value)
                ]
                assert not wrong, "\n".join(wrong)
        if answer.status_code < 400:
            self.seen.add(operation)
        return operation

    def _described(self, method: str, path: str) -> tuple[Operation, dict[str, Any]] | None:
        """Names of models hold slashes. Of several that fit it is the one that says most itself."""
        fitting = [
            (known, methods[method.lower()]["responses"])
            for known, methods in self._schema["paths"].items()
            if method.lower() in methods and re.fullmatch(re.sub(r"\{\w+\}", ".+", known), path)
        ]
        if not fitting:
            return None
        known, responses = max(fitting, key=lambda one: len(re.sub(r"\{\w+\}", "", one[0])))
        return (method, known), responses

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        return Draft202012Validator({**schema, "components": self._schema["components"]})


def _values(kind: str, answer: httpx.Response) -> Iterator[Any]:
    match kind:
        case "application/json":
            yield answer.json()
        case "application/x-ndjson":
            yield from map(json.loads, answer.text.splitlines())
        case _:
            yield answer.text

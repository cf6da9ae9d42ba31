"""Every described route with nonsense in every place: typed 4xx, never a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from support.gateway import ADMIN_TOKEN, KEY, Live, StartGateway
from support.rogues import StartRogue

WORDS: list[str] = [
    "",
    " ",
    "\0",
    "x" * 5000,
    "../../etc/passwd",
    "é€🙂",
    "' OR 1=1 --",
    "%",
    "_",
    "0",
    "-1",
    "1e999",
    "null",
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    10**30,
    1e308,
    "",
    "\0",
    "x" * 20_000,
    "a\r\nb: c",
    [],
    [None],
    {},
    {"a": {}},
]
RAW = [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"a": NaN}', b"[" * 5000, b'{"name": "\\ud800"}']


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue, database_url: str) -> Live:
    return await start(await rogue(), database_url=database_url)


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def filled(path: str, value: str) -> str:
    while "{" in path:
        begin, _, rest = path.partition("{")
        path = begin + quote(value, safe="") + rest.partition("}")[2]
    return path


def properties(spec: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    for option in (schema, *schema.get("anyOf", ())):
        if "$ref" in option:
            schema = spec["components"]["schemas"][option["$ref"].rsplit("/", 1)[1]]
    return list(schema.get("properties", {}))


async def test_no_route_answers_nonsense_with_a_server_error(database_url: str, live: Live):
    spec = (await live.http.get("/openapi.json")).json()
    headers = {"X-API-Key": KEY, "X-Admin-Key": ADMIN_TOKEN}
    wrong: list[str] = []
    asked = 0

    async def ask(method: str, path: str, **options: Any) -> None:
        nonlocal asked
        asked += 1
        async with live.http.stream(method, path, headers=headers, **options) as answer:
            if path != "/admin/api/live/feed":  # which never ends
                await answer.aread()
        if answer.status_code >= 500 and path not in ("/readyz",):
            wrong.append(f"{method} {path} {str(options)[:200]}: {answer.status_code} {answer.text[:300]}")
        elif answer.status_code >= 400 and "error" not in answer.json():
            wrong.append(f"{method} {path}: {answer.text[:200]}")

    for method, path, operation in operations(spec):
        for word in WORDS if "{" in path else [""]:
            await ask(method, filled(path, word))
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                for word in WORDS:
                    await ask(method, filled(path, "nobody"), params={parameter["name"]: word})
        if method in ("POST", "PUT", "PATCH"):
            for raw in RAW:
                await ask(method, filled(path, "nobody"), content=raw)
            for name in properties(spec, operation):
                for value in VALUES:
                    await ask(method, filled(path, "nobody"), json={name: value})
                    await ask(method, filled(path, live.project), json={"name": f"n{asked}", name: value})
    assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(wrong[:20])
    assert asked > 1000
    assert (await live.chat()).status_code == 200

"""The same question gets the same answer, whichever API it was asked over: the text, how it ended, what it cost; and a
stream that breaks is the same story in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from support.apis import APIS, Api, Heard
from support.gateway import HELLO, MODEL, Live, StartGateway, entry, words
from support.llama import LlamaServer
from support.rogues import StartRogue

IMPATIENT = {"connect": 1, "head": 0.5, "first_token": 0.5, "stall": 0.5, "write": 2, "budget": 6, "total": 20}
STREAMS = [api for api in APIS if api.streams]
NEVER = {"X-Gateway-Continue": "never"}


async def asked(
    live: Live, api: Api, model: str, headers: Mapping[str, str] | None = None, **question: Any
) -> tuple[httpx.Response, Heard]:
    body = api.write(model, {"messages": HELLO, **question})
    answer = await live.http.post(api.path, json=body, headers=headers)
    return answer, api.read(answer)


@pytest.mark.parametrize("limit", [None, 4])
async def test_text_end_and_usage_are_the_same(start: StartGateway, rogue: StartRogue, limit: int | None):
    live = await start(await rogue())
    question = {} if limit is None else {"max_tokens": limit}
    told = {api.name: (await asked(live, api, MODEL, **question))[1] for api in APIS}
    right = told["openai"]
    assert right.text == words(limit or 10)
    assert right.usage is not None
    for name, heard in told.items():
        assert (heard.text, heard.finish, heard.usage, heard.complete) == (
            right.text, right.finish, right.usage, True,
        ), name  # fmt: skip
    rows = await live.rows(len(APIS))
    assert len({(row["tokens_input"], row["tokens_output"], row["finish_reason"]) for row in rows}) == 1


async def test_a_real_server_gives_the_same_text_over_all(start: StartGateway, shared_llama: LlamaServer):
    server = {"name": "llama", "url": shared_llama.openai_url, "kind": "openai", "trust": "own"}
    live = await start(server)
    for api in APIS:
        _, heard = await asked(live, api, shared_llama.model, max_tokens=7)
        assert (heard.text, heard.finish, heard.complete) == (shared_llama.words(7), "length", True), api.name
        assert heard.usage is not None
        assert heard.usage[1] == 7, api.name


@pytest.mark.parametrize("api", STREAMS, ids=lambda api: api.name)
@pytest.mark.parametrize("mood", ["cut_rst", "cut_clean_eof", "error_mid"])
async def test_a_broken_stream_goes_on_word_for_word_over_each(
    start: StartGateway, rogue: StartRogue, api: Api, mood: str
):
    bad, good = await rogue(mood=mood), await rogue()
    live = await start(entry(bad), entry(good), timeouts=IMPATIENT)
    live.prefer(bad)
    answer, heard = await asked(live, api, MODEL)
    assert (answer.status_code, heard.text, heard.error, heard.complete) == (200, words(), None, True)
    assert heard.usage is not None
    assert heard.usage[1] == 10


@pytest.mark.parametrize("api", STREAMS, ids=lambda api: api.name)
async def test_where_nobody_goes_on_the_words_so_far_and_one_typed_error_are_all(
    start: StartGateway, rogue: StartRogue, api: Api
):
    live = await start(await rogue(mood="cut_rst"), timeouts=IMPATIENT)
    answer, heard = await asked(live, api, MODEL, NEVER)
    assert (answer.status_code, heard.complete, heard.finish) == (200, False, None)
    assert heard.error is not None
    assert (heard.error["code"], heard.error["retryable"]) == ("upstream_stream_lost", True)
    assert heard.error["delivered_tokens"] == len(heard.text.split()) > 0
    assert words().startswith(heard.text)
    row = await live.row()
    assert (row["status"], row["error_code"]) == (502, "upstream_stream_lost")

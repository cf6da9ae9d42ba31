"""Clients that can send no header have their key in the address, where the operator allows it."""

from __future__ import annotations

import ollama
import pytest

from support.gateway import HELLO, MODEL, StartGateway, words
from support.rogues import StartRogue
from support.served import KEY

NO_KEY = {"X-API-Key": ""}


async def test_a_key_in_the_address_counts_as_one_where_it_is_allowed(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), keys_in_urls=True)
    asked = {"model": MODEL, "messages": HELLO}
    answer = await live.http.post(f"/k/{KEY}/v1/chat", json=asked, headers=NO_KEY)
    assert answer.json()["choices"][0]["message"]["content"] == words()
    assert (await live.http.get(f"/k/{KEY}/v1/models", headers=NO_KEY)).status_code == 200
    row = await live.row()
    assert (row["endpoint"], row["status"]) == ("/v1/chat", 200)
    wrong = await live.http.post("/k/nonsense/v1/chat", json=asked, headers=NO_KEY)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    for path in (f"/k/{KEY}/nothing", f"/k/{KEY}/k/{KEY}/v1/models"):
        nothing = await live.http.get(path, headers=NO_KEY)
        assert nothing.status_code == 404
        assert KEY not in nothing.text


async def test_ollamas_client_takes_the_key_from_its_host_as_the_ollama_command_does(
    start: StartGateway, rogue: StartRogue, monkeypatch: pytest.MonkeyPatch
):
    live = await start(await rogue(), keys_in_urls=True)
    monkeypatch.setenv("OLLAMA_HOST", f"{live.base_url}/k/{KEY}")
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    assert (await live.http.head(f"/k/{KEY}/", headers=NO_KEY)).status_code == 200  # what the command begins with
    ai = ollama.AsyncClient()
    assert [model.model for model in (await ai.list()).models] == ["recite:latest"]
    assert (await ai.show(MODEL)).capabilities
    assert "".join([f.message.content or "" async for f in await ai.chat(MODEL, HELLO, stream=True)]) == words()
    with pytest.raises(ollama.ResponseError, match="owners of the servers"):
        await ai.pull(MODEL)


async def test_a_key_in_a_header_wins_over_the_one_in_the_address(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), keys_in_urls=True)
    answer = await live.http.get(f"/k/{KEY}/v1/models", headers={"X-API-Key": "nonsense"})
    assert answer.status_code == 401


async def test_it_works_behind_a_proxy_with_a_prefix(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(), keys_in_urls=True, root_path="/llm")
    for path in (f"/llm/k/{KEY}/v1/models", f"/k/{KEY}/v1/models"):
        assert (await live.http.get(path, headers=NO_KEY)).status_code == 200, path


async def test_otherwise_the_refusal_says_how_it_is_allowed_and_repeats_no_key(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    answer = await live.http.post(f"/k/{KEY}/v1/chat", json={"model": MODEL, "messages": HELLO}, headers=NO_KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert "LLM_GATEWAY_KEYS_IN_URLS" in answer.text
    assert KEY not in answer.text

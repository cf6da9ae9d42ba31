"""A long silence in mid-stream: each API fills it in its own way, and the official library of each lives through it.

The product's figure is ten seconds; here it is a fraction of one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anthropic
import ollama
import openai
import pytest

from llm_gateway.web import pulse
from support.apis import APIS, Api
from support.gateway import BOTH_WAYS, HELLO, KEY, MODEL, Live, StartGateway, words
from support.rogues import StartRogue

FILLERS = {"anthropic": 'event: ping\ndata: {"type":"ping"}\n\n', "ollama": " {"}
"""By how the API's name begins; a comment in all others."""
STREAMS = [api for api in APIS if api.streams]


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue, monkeypatch: pytest.MonkeyPatch) -> Live:
    for name, seconds in (("LOOK", 0.05), ("SILENCE", 0.15)):
        monkeypatch.setattr(pulse, name, seconds)
    return await start(await rogue(rate=2, words=2))


@BOTH_WAYS
@pytest.mark.parametrize("api", STREAMS, ids=lambda api: api.name)
async def test_a_silence_is_filled_as_the_protocol_of_each_api_allows(live: Live, api: Api):
    answer = await live.http.post(api.path, json=api.write(MODEL, {"messages": HELLO}))
    heard = api.read(answer)
    assert (heard.text, heard.finish, heard.complete) == (words(2), "stop", True)
    filler = next((what for name, what in FILLERS.items() if api.name.startswith(name)), ": ping\n\n")
    assert answer.text.count(filler) >= 2, answer.text
    assert "id:" not in answer.text.replace('"id":', "")


async def chat_completions(live: Live) -> str:
    async with openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY) as ai:
        stream = await ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True)  # type: ignore[call-overload]
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def completions(live: Live) -> str:
    async with openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY) as ai:
        stream = await ai.completions.create(model=MODEL, prompt="Hello", stream=True)
        return "".join([chunk.choices[0].text async for chunk in stream])


async def responses(live: Live) -> str:
    async with (
        openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY) as ai,
        ai.responses.stream(model=MODEL, input="Hello") as stream,
    ):
        return (await stream.get_final_response()).output_text


async def messages(live: Live) -> str:
    async with (
        anthropic.AsyncAnthropic(base_url=live.base_url, api_key=KEY) as ai,
        ai.messages.stream(model=MODEL, max_tokens=9, messages=HELLO) as stream,  # type: ignore[arg-type]
    ):
        return await stream.get_final_text()


async def ollama_chat(live: Live) -> str:
    ai = ollama.AsyncClient(host=live.base_url, headers={"X-API-Key": KEY})
    return "".join([frame.message.content or "" async for frame in await ai.chat(MODEL, HELLO, stream=True)])


async def ollama_generate(live: Live) -> str:
    ai = ollama.AsyncClient(host=live.base_url, headers={"X-API-Key": KEY})
    return "".join([frame.response async for frame in await ai.generate(MODEL, "Hello", stream=True)])


@pytest.mark.parametrize(
    "ask",
    [chat_completions, completions, responses, messages, ollama_chat, ollama_generate],
    ids=lambda ask: ask.__name__,
)
async def test_each_official_library_reads_on_after_a_silence(live: Live, ask: Callable[[Live], Awaitable[str]]):
    assert await ask(live) == words(2)

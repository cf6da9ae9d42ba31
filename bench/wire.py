#!/usr/bin/env python3
"""What translating one streamed chunk costs, from a server's bytes to a client's, for every pair of dialects.

    python bench/wire.py [--chunks 2000] [--rounds 15]

Each chunk is fed by itself, as the network gives it: the server dialect's reader under a `CheckedReader`, then the
client dialect's writer. The unit is one orjson `loads` and `dumps` of the JSON in the same chunk; unit and translation
take turns within the run, CPU time counts, and of the rounds the median is told. The garbage collector is set as
`llm-gateway serve` sets it. *words* are chunks of text; *thoughts* the same as reasoning; *offered* is text where tools
were offered; *8 at once* is text of which eight chunks come in one read.

Exits with 1 when words cost more than 6 units for any pair. Needs orjson (group `dev`), and no network.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from importlib.metadata import version

import orjson
from startup import machine

from llm_gateway.testing.voices import Ollama, OpenAI, Voice
from llm_gateway.wire.checked import CheckedReader
from llm_gateway.wire.neutral import ChatRequest, Envelope, Json, Piece
from llm_gateway.wire.registry import CLIENTS, SERVERS

LIMIT = 6.0
MODEL = "llama3.2:3b"
ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, MODEL)
BODY: Json = {
    "model": MODEL,
    "stream": True,
    "max_tokens": 1_000_000,
    "messages": [{"role": "user", "content": "hi"}],
    "input": "hi",
}
"""A question in the words of nearly every dialect: each reads its own and ignores the others'."""
PROMPTED = ("completions", "ollama-generate")
"""Dialects that ask with a prompt."""
TOOL: Json = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
KINDS = ("words", "thoughts", "offered", "8 at once")
TOGETHER = 8


def voice(server: str) -> Voice:
    return Ollama(MODEL, 7) if server == "ollama" else OpenAI(MODEL, 7, include_usage=True)


def chunks(server: str, kind: str, count: int) -> list[bytes]:
    """Frames as this server sends them, words of usual lengths."""
    says = voice(server)
    say = says.thinking if kind == "thoughts" else says.text
    return [say((" w%03d", " the%d", ",%d", " word%06d")[n % 4] % n) for n in range(count)]


def reads(frames: list[bytes], kind: str) -> list[bytes]:
    if kind != "8 at once":
        return frames
    return [b"".join(frames[at : at + TOGETHER]) for at in range(0, len(frames), TOGETHER)]


def ask(client: str, kind: str) -> ChatRequest:
    asked = CLIENTS[client].read_request(orjson.dumps(BODY | ({"prompt": "hi"} if client in PROMPTED else {})))
    asked.tools = [TOOL] if kind == "offered" else []
    return asked


def unit(texts: list[bytes]) -> float:
    """CPU seconds of reading and writing the JSON of one chunk."""
    began = time.thread_time()
    for text in texts:
        orjson.dumps(orjson.loads(text))
    return (time.thread_time() - began) / len(texts)


def translation(server: str, client: str, kind: str, data: list[bytes], count: int) -> float:
    """CPU seconds of one chunk."""
    asked = ask(client, kind)
    reader = CheckedReader(SERVERS[server].stream_reader(), asked, limit=count + 1)
    writer = CLIENTS[client].stream_writer(ENVELOPE, asked)
    said = 0
    began = time.thread_time()
    for read in data:
        for event in reader.feed(read):
            if isinstance(event, Piece):
                writer.piece(event)
                said += event.frames
    took = time.thread_time() - began
    assert said >= count - 1, f"{said} pieces of {count} chunks"
    return took / count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    gc.collect()
    gc.freeze()
    print(machine())
    print(
        f"unit: orjson {version('orjson')} loads + dumps of the chunk; {options.chunks} chunks, {options.rounds} rounds"
    )
    print(f"  {'server -> client':28} {'unit':>8}  " + "".join(f"{kind:>20}" for kind in KINDS))
    broken = 0
    for server in SERVERS:
        for client in CLIENTS:
            row, units = [], []
            for kind in KINDS:
                frames = chunks(server, kind, options.chunks)
                texts = [frame.strip().removeprefix(b"data: ") for frame in frames]
                data = reads(frames, kind)
                took, same = [], []
                for _ in range(options.rounds + 1):
                    same.append(unit(texts))
                    took.append(translation(server, client, kind, data, options.chunks))
                gc.collect()
                cost, one = statistics.median(took[1:]), statistics.median(same[1:])
                units.append(one)
                row.append(f"{cost * 1e6:9.2f} µs = {cost / one:4.1f}")
                if kind == "words" and cost / one > LIMIT:
                    broken += 1
                    row[-1] += "!"
            name = f"{server} -> {client}"
            print(f"  {name:28} {units[0] * 1e6:5.2f} µs  " + "".join(f"{cell:>20}" for cell in row))
    print("all within" if not broken else f"{broken} pairs over", f"{LIMIT:g} units (words)")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

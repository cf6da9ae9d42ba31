"""The load generator of `bench/speed` counts every answer that is not as it must be, and says what was wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig import CannotMeasure, Model, Rig, build, free_port, in_its_own_words
from subjects import gateway

CHUNKS, BYTES, DONE = 4, 40, "data: [DONE]\n\n"
OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"
NS = 1


@pytest.fixture(scope="module")
def load() -> Path:
    try:
        return build() / "load"
    except CannotMeasure as problem:
        pytest.skip(str(problem))


def text(seq: int) -> str:
    """A chunk's text as `common.h` describes it."""
    head = f"~{seq:05}@{NS:019};"
    return head + "".join(chr(ord("a") + (seq * 7 + at) % 26) for at in range(len(head), BYTES))


def event(seq: int) -> str:
    return f'data: {{"content":"{text(seq)}"}}\n\n'


def stream(parts: Sequence[str], end: str = "0\r\n\r\n") -> str:
    return CHUNKED + "".join(f"{len(part):x}\r\n{part}\r\n" for part in parts) + end


GOOD = [event(n) for n in range(1, CHUNKS + 1)]
WHOLE = "".join(GOOD) + DONE


@contextmanager
def answering(answer: str, *, piece: int = 65536, closes: bool = True) -> Iterator[int]:
    """A server that reads one request and sends these bytes, so many at a time."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            line, _ = door.accept()
            with line:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.recv(65536)
                data = answer.encode()
                for at in range(0, len(data), piece):
                    line.sendall(data[at : at + piece])
                if not closes:
                    line.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield door.getsockname()[1]
        thread.join(10)


def judged(load: Path, port: int, place: Path, patience: float = 5.0) -> dict[str, int]:
    """What the load generator counts after one request."""
    request = place / "request"
    request.write_text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    words = [load, port, 1, request, CHUNKS, BYTES, "data: [DONE]", 32, 0, 1, 0, patience]
    said = json.loads(subprocess.run([str(word) for word in words], capture_output=True, check=True, timeout=30).stdout)
    assert said["bad"] == sum(said["wrong"].values())
    return {"good": said["requests"]} | {name: count for name, count in said["wrong"].items() if count}


@pytest.mark.parametrize("piece", [1, 7, 65536])
@pytest.mark.parametrize(
    "answer",
    [
        stream([*GOOD, DONE]),
        stream([WHOLE]),
        stream([WHOLE[:50], WHOLE[50:]]),
        f"{OK}Content-Length: {len(WHOLE)}\r\n\r\n{WHOLE}",
        f"{OK}Connection: close\r\n\r\n{WHOLE}",
    ],
    ids=["frame by frame", "one chunk", "cut within a frame", "with its length", "until the end"],
)
def test_a_whole_answer_is_good_however_it_is_cut_into_pieces(load: Path, tmp_path: Path, answer: str, piece: int):
    with answering(answer, piece=piece) as port:
        assert judged(load, port, tmp_path) == {"good": 1}


BAD = {
    "a missing chunk": (stream([GOOD[0], GOOD[2], GOOD[3], DONE]), "order"),
    "no last chunk": (stream([*GOOD[:3], DONE]), "cut"),
    "chunks in another order": (stream([GOOD[1], GOOD[0], *GOOD[2:], DONE]), "order"),
    "a chunk twice": (stream([GOOD[0], *GOOD, DONE]), "order"),
    "a chunk too many": (stream([*GOOD, event(CHUNKS + 1), DONE]), "order"),
    "another letter": (stream([WHOLE.replace(text(2), text(2)[:-1] + "!")]), "order"),
    "a letter less": (stream([WHOLE.replace(text(2), text(2)[:-1])]), "order"),
    "another status": (stream([WHOLE]).replace("200 OK", "503 Service Unavailable"), "status"),
    "no answer of HTTP": ("220 mail.example.org\r\n\r\n", "status"),
    "no terminal marker": (stream(GOOD), "marker"),
    "a marker that is not at the end": (stream([*GOOD, DONE, ": and a comment that is long\n\n" * 2]), "marker"),
    "an end in the middle of a chunk": (stream([WHOLE])[:-40], "cut"),
    "no last chunk of HTTP": (stream([*GOOD, DONE], end=""), "cut"),
    "less than its length": (f"{OK}Content-Length: {len(WHOLE) + 1}\r\n\r\n{WHOLE}", "cut"),
    "an end without a length": (f"{OK}\r\n{''.join(GOOD[:3])}", "cut"),
    "no byte": ("", "cut"),
    "bytes after the end": (stream([*GOOD, DONE]) + "HTTP/1.1 200 OK\r\n", "surplus"),
}


@pytest.mark.parametrize(("answer", "wrong"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_with_an_answer_is_counted(load: Path, tmp_path: Path, answer: str, wrong: str):
    with answering(answer) as port:
        assert judged(load, port, tmp_path) == {"good": 0, wrong: 1}


def test_an_answer_that_does_not_come_is_late(load: Path, tmp_path: Path):
    with answering(stream([*GOOD, DONE])[:-60], closes=False) as port:
        assert judged(load, port, tmp_path, patience=0.3) == {"good": 0, "late": 1}


def test_a_server_that_is_not_there_is_counted(load: Path, tmp_path: Path):
    assert judged(load, free_port(), tmp_path) == {"good": 0, "refused": 1}


MODELS = [Model("sse", 4, 250, each=True), Model("sse", 100, 40), Model("nd", 30, 40, 1), Model("nd", 4, 250)]


def test_the_gateway_passes_on_every_byte_of_the_upstream(load: Path):
    with Rig(MODELS) as rig, gateway(rig, MODELS) as subject:
        for model in MODELS:
            for stream in (True, False):
                how = {"connections": 3, "requests": 12}
                direct = rig.load(rig.ports[1], in_its_own_words(model, stream), {}, **how)
                assert (direct.requests, direct.bad, direct.chunks) == (12, 0, 12 * model.chunks)
                told = rig.load(subject.port, subject.request(model, stream), subject.headers, **how)
                assert (told.requests, told.bad, told.chunks) == (12, 0, 12 * model.chunks), told

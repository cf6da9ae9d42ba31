"""The reader of HTTP answers, fed with bytes: limits, framing and ends, without any socket."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import FaultKind
from llm_gateway.upstream.answer import READ, Answer, Limits, Phase

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b'{"message":"h\xc3\xa9"}\n{"done":true}\n'
WHOLE = {
    "chunked": CHUNKED
    + b"10;ext=1\r\n"
    + BODY[:16]
    + b"\r\n%x\r\n" % (len(BODY) - 16)
    + BODY[16:]
    + b"\r\n0\r\nT: x\r\n\r\n",
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "after interim answers": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    "until the end, HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\n" + BODY,
}


def read(*pieces: bytes, max_body: int = 1 << 20) -> Answer:
    answer = Answer(Limits())
    answer.begin(max_body)
    for piece in pieces:
        answer.feed(piece)
    return answer


def fault(answer: Answer) -> FaultKind | None:
    return answer.fault.kind if answer.fault else None


@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_the_same_wherever_it_is_split(raw: bytes) -> None:
    for at in range(len(raw) + 1):
        answer = read(raw[:at], raw[at:])
        answer.end(None, clean=True, kept=False)
        assert (fault(answer), answer.status, answer.phase, answer.take()) == (None, 200, Phase.DONE, BODY)


@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_the_same_byte_by_byte(raw: bytes) -> None:
    answer = read(*(raw[i : i + 1] for i in range(len(raw))))
    answer.end(None, clean=True, kept=False)
    assert (fault(answer), answer.status, answer.phase, answer.take()) == (None, 200, Phase.DONE, BODY)


@pytest.mark.parametrize("raw", [WHOLE["chunked"], WHOLE["content-length"]], ids=["chunked", "content-length"])
def test_an_answer_cut_after_any_byte_is_never_taken_for_a_whole_one(raw: bytes) -> None:
    head = raw.index(b"\r\n\r\n") + 4
    for at in range(len(raw)):
        answer = read(raw[:at])
        answer.end(None, clean=True, kept=False)
        assert fault(answer) is (FaultKind.RESET if at < head else FaultKind.CUT)
        assert BODY.startswith(answer.take())


def test_headers_are_lower_case_and_repeated_ones_joined() -> None:
    answer = read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: 1\r\nEmpty:\r\nx-a: \xe9\r\n\r\n")
    assert answer.headers == {"content-length": "0", "x-a": "1, é", "empty": ""}


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\ngarbage", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\nmore", False),
    ],
)
def test_a_connection_is_kept_only_after_one_clean_answer(head: bytes, keep: bool) -> None:
    answer = read(head)
    assert (answer.phase, fault(answer), answer.keep_alive) == (Phase.DONE, None, keep)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", FaultKind.BAD_HTTP),
        (b"\x15\x03\x01\x00\x02\x02\x16", FaultKind.BAD_HTTP),
        (b"HTTP/1.1 2OO OK\r\n\r\n", FaultKind.BAD_HTTP),
        (b"HTTP/1.1 099 Low\r\n\r\n", FaultKind.BAD_HTTP),
        (b"HTTP/2.0 200 OK\r\n\r\n", FaultKind.BAD_HTTP),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", FaultKind.BAD_HTTP),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3, FaultKind.BAD_HTTP),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", FaultKind.BAD_HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", FaultKind.BAD_HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi", FaultKind.BAD_HTTP),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi", FaultKind.BAD_HTTP),
        (CHUNKED + b"zz\r\nhi\r\n", FaultKind.BAD_HTTP),
        (CHUNKED + b"ffffffffffffffffff\r\n", FaultKind.BAD_HTTP),
        (CHUNKED + b"2\r\nhiXX", FaultKind.BAD_HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", FaultKind.ENCODED),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: identity, br\r\n\r\nhi", FaultKind.ENCODED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", FaultKind.ENCODED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi", FaultKind.ENCODED),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000, FaultKind.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", FaultKind.TOO_LARGE),
        (b"HTTP/1.1 200 " + b"a" * 40_000 + b"\r\n\r\n", FaultKind.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 102, FaultKind.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", FaultKind.TOO_LARGE),
        (b"\r\n" * 20_000, FaultKind.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", FaultKind.TOO_LARGE),
    ],
)
def test_what_is_no_acceptable_answer_is_a_fault_of_its_kind(raw: bytes, kind: FaultKind) -> None:
    whole = read(raw)
    split = read(*(raw[i : i + 997] for i in range(0, len(raw), 997)))
    assert (fault(whole), fault(split)) == (kind, kind)


@pytest.mark.parametrize("framing", [b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n"])
def test_a_body_is_counted_however_it_is_framed(framing: bytes) -> None:
    answer = read(b"HTTP/1.1 200 OK" + framing, b"x" * 20, max_body=16)
    assert fault(answer) is FaultKind.TOO_LARGE


def test_chunk_extensions_and_trailers_cannot_go_on_for_ever() -> None:
    for endless in (b"5;" + b"x" * 1000, b"0\r\n" + b"T: x\r\n" * 100):
        answer = read(CHUNKED, endless, *([b"x" * 1000] * 40))
        assert fault(answer) is FaultKind.TOO_LARGE


def test_many_small_chunks_are_no_such_overhead() -> None:
    answer = read(CHUNKED, *([b"1\r\n", b"x", b"\r\n"] * 20_000), b"0\r\n\r\n")
    assert (answer.phase, len(answer.take())) == (Phase.DONE, 20_000)


def test_what_came_before_a_fault_can_still_be_taken() -> None:
    answer = read(CHUNKED + b"2\r\nhi\r\nzz\r\n")
    assert fault(answer) is FaultKind.BAD_HTTP
    assert answer.take() == b"hi"


def test_a_second_answer_on_the_same_connection_starts_afresh() -> None:
    answer = read(WHOLE["chunked"])
    answer.begin(1 << 20)
    assert (answer.phase, answer.headers, answer.take()) == (Phase.HEAD, {}, b"")
    answer.feed(WHOLE["content-length"])
    assert (answer.phase, answer.take()) == (Phase.DONE, BODY)


@pytest.mark.parametrize(
    ("raw", "why", "kept", "kind"),
    [
        (b"", None, False, FaultKind.RESET),
        (b"", ConnectionResetError(), False, FaultKind.RESET),
        (b"", None, True, FaultKind.STALE),
        (b"", ConnectionResetError(), True, FaultKind.STALE),
        (b"HTTP/1.1 2", None, True, FaultKind.RESET),
        (b"", ssl.SSLError("certificate required"), False, FaultKind.TLS),
        (CHUNKED, ConnectionResetError(), False, FaultKind.RESET),
        (CHUNKED, None, False, FaultKind.CUT),
        (CHUNKED + b"2\r\nhi\r\n", ConnectionResetError(), False, FaultKind.CUT),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", ConnectionResetError(), False, FaultKind.CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ConnectionResetError(), False, None),
    ],
)
def test_how_a_connection_ends_says_what_happened(
    raw: bytes, why: Exception | None, kept: bool, kind: FaultKind | None
) -> None:
    answer = read(raw)
    answer.end(why, clean=why is None, kept=kept)
    assert fault(answer) is kind


def test_a_connection_that_ends_without_a_word_from_the_server_does_not_end_a_body() -> None:
    answer = read(b"HTTP/1.1 200 OK\r\n\r\nhi")
    answer.end(None, clean=False, kept=False)
    assert fault(answer) is FaultKind.CUT


@given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from([b"", *WHOLE.values(), CHUNKED]))
def test_random_bytes_never_raise_and_never_exceed_the_cap(pieces: list[bytes], start: bytes) -> None:
    answer = read(start, *pieces, max_body=100)
    answer.end(None, clean=True, kept=False)
    assert answer.fault is not None or answer.phase is Phase.DONE
    assert len(answer.take()) <= 100


@pytest.mark.parametrize("piece", [1, 1000, READ - 1, READ, READ + 1, 5 * READ])
def test_a_body_is_taken_in_portions_of_a_bounded_size(piece: int) -> None:
    body = bytes(n % 251 for n in range(3 * READ + 7))
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    answer = read(CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces))
    taken = []
    while answer.buffered:
        taken.append(answer.take())
    assert [len(one) for one in taken] == [READ, READ, READ, 7]
    assert b"".join(taken) == body
    assert answer.take() == b""

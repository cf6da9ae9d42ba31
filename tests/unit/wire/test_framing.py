"""Lines and frames out of bytes."""

from __future__ import annotations

import pytest
from effort import effort

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.framing import FrameSplitter, LineSplitter


def lines(*chunks: bytes) -> list[bytes]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)]


def frames(*chunks: bytes) -> list[bytes]:
    splitter = FrameSplitter()
    return [frame for chunk in chunks for frame in splitter.feed(chunk)]


def test_only_a_newline_ends_a_line():
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh".encode()
    assert lines(text + b"\n") == [text]


def test_crlf_blanks_and_a_byte_order_mark_are_taken_off():
    assert lines(b"\xef\xbb", b"\xbf a \r", b"\n\xef\xbb\xbfb\n") == [b"a", b"\xef\xbb\xbfb"]


def test_a_line_may_be_as_long_as_the_cap_and_no_longer():
    for data in ([b"x" * 8 + b"\n"], [b"x" * 4, b"x" * 4, b"\n"]):
        splitter = LineSplitter(max_line=8)
        assert [line for chunk in data for line in splitter.feed(chunk)] == [b"x" * 8]
    for data in (b"x" * 9, b"x" * 9 + b"\n", b"a\n" + b"x" * 9, b"x" * 9 + b"\na\n"):
        with pytest.raises(Fault) as caught:
            list(LineSplitter(max_line=8).feed(data))
        assert caught.value.kind is FaultKind.TOO_LARGE


def test_a_line_that_grows_without_end_is_given_up_at_the_cap():
    splitter = LineSplitter(max_line=100)
    for _ in range(100):
        assert list(splitter.feed(b"x")) == []
    with pytest.raises(Fault):
        list(splitter.feed(b"x"))


def test_good_lines_come_before_the_fault_of_the_large_one():
    found = LineSplitter(max_line=8).feed(b"a\nb\n" + b"x" * 9)
    assert [next(found), next(found)] == [b"a", b"b"]
    with pytest.raises(Fault):
        next(found)


def test_ndjson_and_every_spelling_of_sse_are_frames():
    assert frames(b'{"a":1}\n\n{"b":2}\r\n') == [b'{"a":1}', b'{"b":2}']
    assert frames(b'data: {"a":1}\n\ndata:{"b":2}\n\ndata: [DONE]\n\n') == [b'{"a":1}', b'{"b":2}', b"[DONE]"]
    assert frames(b': ping\nevent: x\nid: 7\nretry: 5\ndata:\t{"a":1}\r\n\r\n') == [b'{"a":1}']
    assert frames(b'data: {"a":1}\ndata: {"b":2}\n') == [b'{"a":1}', b'{"b":2}'], "no blank line between"


def test_data_over_several_lines_is_joined():
    assert frames(b'data: {"a":\ndata: 1}\n\ndata: {"b":2}\n\n') == [b'{"a":\n1}', b'{"b":2}']
    assert frames(b'data: {"a": [\ndata: {"b":2}\ndata: ]}\n\n') == [b'{"a": [\n{"b":2}\n]}']


def test_joined_data_is_capped_too():
    splitter = FrameSplitter(max_line=50)
    for _ in range(6):
        assert list(splitter.feed(b"data: 1234567\n")) == []
    with pytest.raises(Fault) as caught:
        list(splitter.feed(b"data: 1234567\n"))
    assert caught.value.kind is FaultKind.TOO_LARGE


def test_data_over_very_many_lines_is_work_in_proportion():
    def joined(lines: int) -> int:
        splitter = FrameSplitter()
        for _ in range(lines // 1024):
            list(splitter.feed(b"data:x\n" * 1024))
        (frame,) = splitter.feed(b"\n")
        return len(frame)

    assert joined(2048) == 2 * 2048 - 1
    few, many = effort(lambda: joined(32 * 1024)), effort(lambda: joined(256 * 1024))
    assert many < 24 * few, "eight times the lines: 8 times the work, or 64 times"


def test_lines_of_data_that_hold_nothing_count_against_the_cap():
    splitter = FrameSplitter(max_line=50)
    with pytest.raises(Fault) as caught:
        list(splitter.feed(b"data:x\n" + b"data:\n" * 60))
    assert caught.value.kind is FaultKind.TOO_LARGE


@pytest.mark.parametrize("start", [b"<html>", b"Ollama is running", b"HTTP/1.1 200 OK", b"[1]", b"\x15\x03\x01"])
def test_another_protocol_is_told_from_a_broken_frame_by_when_it_comes(start):
    with pytest.raises(Fault) as caught:
        frames(start + b"\n")
    assert caught.value.kind is FaultKind.NOT_THE_PROTOCOL
    with pytest.raises(Fault) as caught:
        frames(b'{"a":1}\n' + start + b"\n")
    assert caught.value.kind is FaultKind.BAD_FRAME


def rest(data: bytes) -> bytes | None:
    splitter = FrameSplitter()
    list(splitter.feed(data))
    return splitter.rest()


def test_the_end_completes_a_frame_without_its_line_end_and_drops_half_ones():
    assert rest(b'{"a":1}') == b'{"a":1}'
    assert rest(b'data: {"a":1}\n\ndata: [DONE]') == b"[DONE]"
    assert rest(b'data: {"a":\ndata: 1}\n') == b'{"a":\n1}'
    for half in (
        b'{"a":',
        b"data: [DON",
        b"dat",
        b"eve",
        b'{"a":"\xf0\x9f',
        b'{"a":"\\ud83d',
        b"",
        b"\n",
        b'{"a":1}\nx',
    ):
        assert rest(half) is None, half


def test_a_page_without_a_line_end_is_still_no_answer():
    with pytest.raises(Fault) as caught:
        rest(b"<html></html>")
    assert caught.value.kind is FaultKind.NOT_THE_PROTOCOL

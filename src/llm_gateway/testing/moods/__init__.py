"""The moods of a misbehaving server, by name. To add one: write the function, add its line to `MOODS`, test its bytes.

A mood is `async def mood(scene)`: it writes what it likes to `scene.line` and returns, or never returns; when the
client hangs up it is cancelled. Whether the connection may carry another request is the line's knowledge, not the
mood's. The numbers beside the names are those of the project's fault catalogue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llm_gateway.testing.moods import connection, heads, replies, streams
from llm_gateway.testing.scene import Scene

Mood = Callable[[Scene], Awaitable[None]]

REFUSE = "refuse"
"""F-01, the one mood that is a state of the port: nobody listens there."""

MOODS: dict[str, Mood] = {
    "good": streams.good,
    "slow": streams.slow,
    "think": streams.think,
    "tools": streams.tools,
    # the connection: F-03 … F-09
    "accept_close": connection.accept_close,
    "accept_rst": connection.accept_rst,
    "accept_silence": connection.accept_silence,
    "garbage_banner": connection.garbage_banner,
    "hang_after_request": connection.hang_after_request,
    "close_after_request": connection.close_after_request,
    "rst_after_request": connection.rst_after_request,
    "stale_keepalive": connection.stale_keepalive,
    # the head: F-10, F-15
    "slow_headers": heads.slow_headers,
    "headers_then_stall": heads.headers_then_stall,
    "header_flood": heads.header_flood,
    "big_header": heads.big_header,
    "endless_100": heads.endless_100,
    "bad_status_line": heads.bad_status_line,
    "bad_chunk": heads.bad_chunk,
    "length_short": heads.length_short,
    # a whole answer, but not the one that was asked for: F-11 … F-14
    "html_200": replies.html_200,
    "html_502": replies.html_502,
    "json_error_200": replies.json_error_200,
    "empty_stream": replies.empty_stream,
    "empty_done": replies.empty_done,
    "done_load": replies.done_load,
    "not_found_model": replies.not_found_model,
    "runner_500": replies.runner_500,
    "oom_500": replies.oom_500,
    "caller_400": replies.caller_400,
    "unauthorized_401": replies.unauthorized_401,
    "forbidden_403": replies.forbidden_403,
    "too_many_429": replies.too_many_429,
    "busy_503": replies.busy_503,
    "redirect": replies.redirect,
    "tls_port": replies.tls_port,
    # a stream that goes wrong: F-16, F-20 … F-30
    "gzip_body": streams.gzip_body,
    "giant_line": streams.giant_line,
    "nested_json": streams.nested_json,
    "cut_clean_eof": streams.cut_clean_eof,
    "cut_no_terminator": streams.cut_no_terminator,
    "cut_mid_line": streams.cut_mid_line,
    "cut_rst": streams.cut_rst,
    "error_mid": streams.error_mid,
    "bad_json_mid": streams.bad_json_mid,
    "stall_mid": streams.stall_mid,
    "endless": streams.endless,
    "endless_blank": streams.endless_blank,
    "think_forever": streams.think_forever,
    "done_false": streams.done_false,
    "invalid_utf8": streams.invalid_utf8,
    "utf8_split": streams.utf8_split,
    "sse_on_api_chat": streams.sse_on_api_chat,
    "wrong_model": streams.wrong_model,
}

AT_CONNECT = frozenset({"accept_close", "accept_rst", "accept_silence", "garbage_banner"})
"""Moods that act before a request is read, when they are the mood of the whole server."""

"""The moods of a misbehaving server, by name. To add one: write the function, add its line to `MOODS`, test its bytes.

A mood is `async def mood(scene)`: it writes what it likes to `scene.line` and returns, or never returns; when the
client hangs up it is cancelled. Whether the connection may carry another request is the line's knowledge, not the
mood's. The numbers beside the names are those of the project's fault catalogue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llm_gateway.testing.door import HANG
from llm_gateway.testing.moods import (
    connection,
    cuts,
    fickle,
    heads,
    lies,
    replies,
    sizes,
    streams,
    tools,
    vectors,
    wrappings,
)
from llm_gateway.testing.scene import Scene

Mood = Callable[[Scene], Awaitable[None]]

MOODS: dict[str, Mood] = {
    # good ones, if only just
    "good": streams.good,
    "slow": streams.slow,
    "think": streams.think,
    "think_to_limit": streams.think_to_limit,
    "no_metrics": streams.no_metrics,
    "buffering_proxy": streams.buffering_proxy,
    "tools": tools.tools,
    "parallel_tools": tools.parallel_tools,
    "slow_tool_call": tools.slow_tool_call,
    # the connection: F-03 … F-09
    "accept_close": connection.accept_close,
    "accept_rst": connection.accept_rst,
    "accept_silence": connection.accept_silence,
    "garbage_banner": connection.garbage_banner,
    "no_read": connection.no_read,
    "hang_after_request": connection.hang_after_request,
    "close_after_request": connection.close_after_request,
    "rst_after_request": connection.rst_after_request,
    "tls_alert": connection.tls_alert,
    "stale_keepalive": connection.stale_keepalive,
    # the head: F-10, F-15
    "slow_headers": heads.slow_headers,
    "slow_loris": heads.slow_loris,
    "headers_then_stall": heads.headers_then_stall,
    "header_flood": heads.header_flood,
    "big_header": heads.big_header,
    "megabyte_head": heads.megabyte_head,
    "endless_100": heads.endless_100,
    "endless_1xx": heads.endless_1xx,
    "bad_status_line": heads.bad_status_line,
    "bad_chunk": heads.bad_chunk,
    "length_short": heads.length_short,
    # a whole answer, but not the one that was asked for: F-11 … F-14
    "html_200": replies.html_200,
    "html_as_json": replies.html_as_json,
    "html_502": replies.html_502,
    **{f"html_{status}": replies.html_page(status) for status in replies.PAGES},
    "json_error_200": replies.json_error_200,
    "empty_stream": replies.empty_stream,
    "empty_done": replies.empty_done,
    "done_load": replies.done_load,
    "done_unload": replies.done_unload,
    "not_ollama_404": replies.not_ollama_404,
    "not_found_model": replies.not_found_model,
    "runner_500": replies.runner_500,
    "oom_500": replies.oom_500,
    "cuda_500": replies.cuda_500,
    "caller_400": replies.caller_400,
    "unauthorized_401": replies.unauthorized_401,
    "unauthorized_html": replies.unauthorized_html,
    "forbidden_403": replies.forbidden_403,
    "too_many_429": replies.too_many_429,
    "busy_503": replies.busy_503,
    "loading_503": replies.loading_503,
    "redirect": replies.redirect,
    "redirect_loop": replies.redirect_loop,
    "redirect_internal": replies.redirect_internal,
    "tls_port": replies.tls_port,
    # without measure: F-16
    "giant_line": sizes.giant_line,
    "giant_frame": sizes.giant_frame,
    "giant_event": sizes.giant_event,
    "giant_blank": sizes.giant_blank,
    "giant_error": sizes.giant_error,
    "giant_chunk_extension": sizes.giant_chunk_extension,
    "nested_json": sizes.nested_json,
    "huge_number": sizes.huge_number,
    "gzip_body": sizes.gzip_body,
    "gzip_unlabelled": sizes.gzip_unlabelled,
    "gzip_garbage": sizes.gzip_garbage,
    "gzip_bomb": sizes.gzip_bomb,
    # a stream that breaks: F-20 … F-26, F-34
    "cut_clean_eof": cuts.cut_clean_eof,
    "cut_no_terminator": cuts.cut_no_terminator,
    "cut_mid_line": cuts.cut_mid_line,
    "cut_mid_char": cuts.cut_mid_char,
    "cut_mid_escape": cuts.cut_mid_escape,
    "cut_rst": cuts.cut_rst,
    "cut_anywhere": cuts.cut_anywhere,
    "cut_tool_call": cuts.cut_tool_call,
    "cut_before_tool_call": cuts.cut_before_tool_call,
    "cut_in_thought": cuts.cut_in_thought,
    "error_mid": cuts.error_mid,
    "bad_json_mid": cuts.bad_json_mid,
    "stall_mid": cuts.stall_mid,
    "blank_mid": cuts.blank_mid,
    "done_false": cuts.done_false,
    # a stream that does not end, or takes for ever: F-26, F-27, F-31
    "endless": streams.endless,
    "babble": streams.babble,
    "endless_blank": streams.endless_blank,
    "think_forever": streams.think_forever,
    "think_only": streams.think_only,
    "degraded": streams.degraded,
    # a good answer in a strange wrapping: F-28
    "invalid_utf8": wrappings.invalid_utf8,
    "utf8_split": wrappings.utf8_split,
    "sse_on_api_chat": wrappings.sse_on_api_chat,
    "text_plain": wrappings.text_plain,
    "labelled_json": wrappings.labelled_json,
    "crlf": wrappings.crlf,
    "byte_order_mark": wrappings.byte_order_mark,
    "two_dones": wrappings.two_dones,
    "late_frames": wrappings.late_frames,
    "content_null": wrappings.content_null,
    "content_parts": wrappings.content_parts,
    "content_number": wrappings.content_number,
    # not the answer to this question: F-30
    "wrong_model": lies.wrong_model,
    "honeypot": lies.honeypot,
    "truncates_prompt": lies.truncates_prompt,
    "overcounts": lies.overcounts,
    "tool_as_text": tools.tool_as_text,
    "tool_text_arguments": tools.tool_text_arguments,
    "tool_bad_json": tools.tool_bad_json,
    "tool_wrong_arguments": tools.tool_wrong_arguments,
    "tool_wrong_name": tools.tool_wrong_name,
    # no vectors, or bad ones
    "no_embeddings": vectors.no_embeddings,
    "too_few_vectors": vectors.too_few_vectors,
    "zero_vectors": vectors.zero_vectors,
    "ragged_vectors": vectors.ragged_vectors,
    "null_vectors": vectors.null_vectors,
    "shuffled_vectors": vectors.shuffled_vectors,
    # now this, now that: F-32
    "flap": fickle.flap,
    "first_n": fickle.first_n,
    "partial_35": fickle.partial_35,
}

AT_THE_DOOR = frozenset({"refuse", HANG})
"""F-01 and F-02, the moods that are states of the port: nobody listens there, or connecting never succeeds."""

AT_CONNECT = frozenset({"accept_close", "accept_rst", "accept_silence", "garbage_banner", "no_read"})
"""Moods that act before a request is read, when they are the mood of the whole server."""

UNREAD = frozenset({"no_read"})
"""Of these, the ones under which the server never takes a byte off the wire."""

ANY_MODEL = frozenset({"honeypot"})
"""Moods of servers that hold every model they are asked for."""

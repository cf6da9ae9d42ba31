"""Answers without measure: bounded in memory and time, and the client gets the right one from somebody else."""

from __future__ import annotations

from trapped import APIS, IMPATIENT, SetTrap
from vitals import Vitals

from support.gateway import words

ONE = APIS[3:4]
"""One API: for what is large, and the same whoever asks."""


async def test_f15_http_that_lies_is_found_out_and_bounded(trap: SetTrap, vitals: Vitals):
    caught = await trap(
        *("bad_status_line", "header_flood", "big_header", "megabyte_head", "endless_100", "endless_1xx"),
        timeouts=IMPATIENT,
    )
    await caught.expect_exact()
    vitals.expect_calm()
    await caught.expect_ejected()


async def test_f16_bombs_and_giants_are_bounded(trap: SetTrap, vitals: Vitals):
    caught = await trap("gzip_bomb", "gzip_garbage", "nested_json", "huge_number", timeouts=IMPATIENT)
    await caught.expect_exact()
    vitals.expect_calm()
    await caught.expect_ejected()


async def test_f16_all_at_once_and_still_bounded(trap: SetTrap, vitals: Vitals):
    caught = await trap(
        *("bad_status_line", "header_flood", "big_header", "endless_100", "gzip_bomb", "gzip_garbage"),
        *("giant_line", "giant_frame", "giant_event", "giant_blank", "giant_error", "giant_chunk_extension"),
        *("nested_json", "huge_number"),
        apis=ONE,
        timeouts=IMPATIENT,
    )
    await caught.expect_exact()
    vitals.expect_calm()


async def test_row_28_a_line_of_many_megabytes_is_not_collected(trap: SetTrap, vitals: Vitals):
    caught = await trap("giant_line", "giant_event", timeouts=IMPATIENT)
    await caught.expect_exact()
    vitals.expect_calm()


async def test_row_28_a_frame_of_many_megabytes_is_not_collected(trap: SetTrap, vitals: Vitals):
    caught = await trap("giant_frame", "giant_error", timeouts=IMPATIENT)
    await caught.expect_exact()
    vitals.expect_calm()


async def test_row_28_deep_nesting_is_no_answer(trap: SetTrap, vitals: Vitals):
    caught = await trap("nested_json", "huge_number")
    await caught.expect_exact()
    vitals.expect_calm()
    await caught.expect_ejected()


async def test_row_28_content_that_is_null_or_a_list_is_read_and_a_number_is_not(trap: SetTrap):
    for seen in await (await trap("content_null", "content_parts")).ask_all():
        seen.expect(words(prefix="b"))
        assert seen.headers["x-gateway-attempts"] == "1"
    await (await trap("content_number")).expect_exact()


async def test_row_29_an_answer_compressed_unasked_is_asked_for_elsewhere(trap: SetTrap):
    caught = await trap("gzip_body", "gzip_unlabelled", "gzip_garbage")
    await caught.expect_exact()
    await caught.expect_ejected()

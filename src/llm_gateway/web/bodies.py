"""Request bodies of the routes that FastAPI serves, bounded in size and time.

FastAPI reads a body before it asks a route's dependencies who sends it, so the bounds hold for strangers. The hot
routes authenticate first and have bounds of their own (`web.hot`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from llm_gateway.errors import BodyTooLarge, RequestTimeout

if TYPE_CHECKING:
    from starlette.types import Message, Receive

LARGEST: Final = 2**20
"""Bytes. What administrators send are names and numbers."""
SECONDS: Final = 30.0
"""From the request's head to the end of its body."""


def bounded(receive: Receive) -> Receive:
    """`receive` for one request. It raises BodyTooLarge and RequestTimeout; once the body is complete it waits for the
    client to leave as long as it takes."""
    until = asyncio.get_running_loop().time() + SECONDS
    size, complete = 0, False

    async def next_message() -> Message:
        nonlocal size, complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(f"The request's body did not arrive within {SECONDS:g} s.") from None
        size += len(message.get("body", b""))
        if size > LARGEST:
            raise BodyTooLarge(f"The request's body is larger than {LARGEST} bytes.")
        complete = not message.get("more_body")
        return message

    return next_message

"""The client protocols: one file each, and one line here."""

from typing import Final

from llm_gateway.wire.registry import CLIENTS, ClientDialect

SURFACES: Final[tuple[tuple[str, ClientDialect, bool | None], ...]] = (
    # path, dialect, does the path say that the answer streams (None: the body does)
    ("/v1/chat", CLIENTS["native"], False),
    ("/v1/chat/stream", CLIENTS["native"], True),
    ("/v1/chat/completions", CLIENTS["openai"], None),
)

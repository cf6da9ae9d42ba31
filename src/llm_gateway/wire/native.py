"""The gateway's own API: `POST /v1/chat` and `POST /v1/chat/stream`.

One body for both: `model`, `messages`, any neutral parameter, `metadata {project_context, correlation_id}`; fields
it does not know are ignored. Answers are `chat.completion` objects with the request's UUID as id; the last chunk of
a stream carries finish reason and usage, and a stream that failed ends in `event: error` without `[DONE]`.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.wire.chunks import DONE, ChunkWriter, completion, is_plain, plain, usage_object
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.errors import error_body
from llm_gateway.wire.messages import read_messages
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Json, Usage
from llm_gateway.wire.params import PARAMS
from llm_gateway.wire.requests import read_metadata, read_model, read_params


def read_request(body: bytes) -> ChatRequest:
    """`stream` is left False: here the path decides. Raises InvalidRequest and its kin."""
    fields = decode_body(body)
    notes: list[str] = []
    ask = ChatRequest(read_model(fields), read_messages(fields, notes), notes=notes)
    ask.params = read_params(fields, PARAMS)
    read_metadata(fields, ask)
    return ask


class StreamWriter(ChunkWriter):
    __slots__ = ()

    def __init__(self, envelope: Envelope, _ask: ChatRequest) -> None:
        super().__init__(envelope, chat_id=envelope.id)

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        return self._last(finish, b',"usage":' + encode(usage_object(usage))) + DONE

    def error(self, body: dict[str, Json]) -> bytes:
        return b"event: error\ndata: " + encode(body) + b"\n\n"


def write_answer(envelope: Envelope, _ask: ChatRequest, answer: Answer) -> bytes:
    if is_plain(answer):
        return plain(envelope, answer, chat_id=envelope.id)
    return encode(completion(envelope, answer, chat_id=envelope.id))


CLIENT: Final = ClientDialect("native", read_request, StreamWriter, write_answer, error_body)

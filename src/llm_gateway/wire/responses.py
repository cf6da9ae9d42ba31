"""OpenAI's Responses API as clients speak it (`POST /v1/responses`), whole and streamed. Stateless: every request
brings its whole input, and nothing of it is kept.

An answer is a row of items: what was thought (`reasoning`, the whole of it as its summary), what was said (`message`),
and each call (`function_call`, `custom_tool_call`). A stream tells each item as it grows, and ends in a whole response
object: `response.completed`, `response.incomplete` (cut short) or `response.failed`.

Servers count what was thought and said as one, so `reasoning_tokens` are our estimate.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from llm_gateway.wire.chunks import KEEP_ALIVE
from llm_gateway.wire.collect import estimate_tokens
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.encoding import encode, encode_text
from llm_gateway.wire.errors import error_body
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Json, Piece, ToolCall, ToolPart, Usage
from llm_gateway.wire.responses_objects import UNFINISHED, Shape, logprob_items, output_text
from llm_gateway.wire.responses_request import read_request

Speech = Literal["reasoning", "message"]


def write_answer(envelope: Envelope, ask: ChatRequest, answer: Answer) -> bytes:
    shape = Shape(envelope, ask)
    output: list[Json] = []
    if answer.thinking:
        output.append(shape.reasoning(0, answer.thinking))
    if answer.text or answer.logprobs:
        status = "incomplete" if answer.finish in UNFINISHED else "completed"
        part = output_text(answer.text, logprob_items(answer.logprobs))
        output.append(shape.message(len(output), part, status))
    for number, call in enumerate(answer.tool_calls):
        output.append(shape.call(len(output), number, call))
    done = None if answer.finish in UNFINISHED else envelope.created
    thought = estimate_tokens(answer.thinking)
    return shape.ended(answer.finish, output, answer.usage, thought, completed_at=done)


class StreamWriter:
    """The events of one response, numbered from 0. An item is told until another one begins; calls are told whole
    when the answer ends, for a part of a call is none."""

    content_type = "text/event-stream"

    __slots__ = (
        *("_after", "_before", "_between", "_calls", "_kind", "_logprobs", "_next", "_output", "_said", "_shape"),
        "_thought",
    )

    def __init__(self, envelope: Envelope, ask: ChatRequest) -> None:
        self._shape = Shape(envelope, ask)
        self._next = 0
        self._output: list[Json] = []
        """Items that are complete, encoded."""
        self._kind: Speech | None = None
        """Of the item that is open."""
        self._said: list[str] = []
        self._logprobs: list[Json] = []
        self._before = self._between = self._after = b""
        """What stands around the number and the text of a delta of the open item."""
        self._calls: dict[int, tuple[ToolCall, list[str]]] = {}
        self._thought = 0

    def piece(self, piece: Piece) -> bytes:
        if self._kind == "message" and not piece.thinking and not piece.tools and piece.logprobs is None:
            return self._delta(piece.text)
        out = [self._begin()]
        if piece.thinking:
            if self._kind != "reasoning":
                out += [self._close("completed"), self._open_reasoning()]
            out.append(self._delta(piece.thinking))
        if piece.text or piece.logprobs is not None:
            if self._kind != "message":
                out += [self._close("completed"), self._open_message()]
            out.append(self._delta(piece.text, logprob_items(piece.logprobs)))
        for part in piece.tools:
            self._add(part)
        return b"".join(out)

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        status = "incomplete" if finish.reason in UNFINISHED else "completed"
        out = [self._begin(), self._close(status), *self._told_calls()]
        spliced = {} if finish.spliced is None else msgspec.structs.asdict(finish.spliced)
        whole = self._shape.ended(finish.reason, self._output, usage, self._thought, **spliced)
        return b"".join([*out, self._event(f"response.{status}", {"response": msgspec.Raw(whole)})])

    def error(self, body: dict[str, Json]) -> bytes:
        """`response.failed`, which has room for few codes only, and then `error`, which says it all: flat as OpenAI
        describes it and as an object as OpenAI sends it. At the object the official clients raise."""
        error = body["error"]
        out = [self._begin()]
        if self._kind is not None:  # as far as it came
            self._output.append(self._open_item("incomplete"))
        failed = self._shape.response("failed", self._output, error={**error, "code": "server_error"})
        out.append(self._event("response.failed", {"response": msgspec.Raw(failed)}))
        flat = {"code": error["code"], "message": error["message"], "param": error["param"]}
        return b"".join([*out, self._event("error", {**flat, "error": error})])

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    # events

    def _event(self, name: str, fields: dict[str, Json]) -> bytes:
        number, self._next = self._next, self._next + 1
        data = encode({"type": name, "sequence_number": number, **fields})
        return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"

    def _begin(self) -> bytes:
        if self._next:
            return b""
        response = {"response": msgspec.Raw(self._shape.response("in_progress", []))}
        return self._event("response.created", response) + self._event("response.in_progress", response)

    def _delta(self, text: str, logprobs: list[Json] | None = None) -> bytes:
        number, self._next = self._next, self._next + 1
        self._said.append(text)
        after = self._after
        if logprobs:
            self._logprobs += logprobs
            after = b',"logprobs":' + encode(logprobs) + b"}\n\n"
        return self._before + b"%d" % number + self._between + encode_text(text) + after

    def _deltas(self, name: str, place: dict[str, Json], after: bytes) -> None:
        """Everything of the deltas to come but their number and text."""
        head = f'event: {name}\ndata: {{"type":"{name}","sequence_number":'
        self._before = head.encode()
        self._between = b"," + encode(place)[1:-1] + b',"delta":'
        self._after = after

    # items

    def _open_reasoning(self) -> bytes:
        index = len(self._output)
        item = {"id": self._shape.id("rs", index), "type": "reasoning", "summary": []}
        place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        self._kind = "reasoning"
        self._deltas("response.reasoning_summary_text.delta", place, b"}\n\n")
        part = {"type": "summary_text", "text": ""}
        return self._event("response.output_item.added", {"output_index": index, "item": item}) + self._event(
            "response.reasoning_summary_part.added", {**place, "part": part}
        )

    def _open_message(self) -> bytes:
        index = len(self._output)
        item = self._shape.message(index, None, "in_progress")
        place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        self._kind = "message"
        self._deltas("response.output_text.delta", place, b',"logprobs":[]}\n\n')
        return self._event("response.output_item.added", {"output_index": index, "item": item}) + self._event(
            "response.content_part.added", {**place, "part": output_text("", [])}
        )

    def _close(self, status: str) -> bytes:
        if self._kind is None:
            return b""
        index, item = len(self._output), self._open_item(status)
        text = "".join(self._said)
        place = {"item_id": item["id"], "output_index": index}
        if self._kind == "reasoning":
            self._thought += estimate_tokens(text)
            place["summary_index"] = 0
            out = self._event("response.reasoning_summary_text.done", {**place, "text": text})
            out += self._event("response.reasoning_summary_part.done", {**place, "part": item["summary"][0]})
        else:
            place["content_index"] = 0
            said = {"text": text, "logprobs": self._logprobs}
            out = self._event("response.output_text.done", {**place, **said})
            out += self._event("response.content_part.done", {**place, "part": item["content"][0]})
        self._kind, self._said, self._logprobs = None, [], []
        return out + self._done(index, item)

    def _open_item(self, status: str) -> dict[str, Json]:
        """The open item as it is now."""
        text = "".join(self._said)
        if self._kind == "reasoning":
            return self._shape.reasoning(len(self._output), text)
        return self._shape.message(len(self._output), output_text(text, self._logprobs), status)

    def _done(self, index: int, item: dict[str, Json]) -> bytes:
        whole = msgspec.Raw(encode(item))
        self._output.append(whole)
        return self._event("response.output_item.done", {"output_index": index, "item": whole})

    def _add(self, part: ToolPart) -> None:
        call, texts = self._calls.setdefault(part.index, (ToolCall(part.name, id=part.id), []))
        call.name = call.name or part.name
        call.id = call.id or part.id
        texts.append(part.arguments)

    def _told_calls(self) -> list[bytes]:
        out = []
        for number in sorted(self._calls):
            call, texts = self._calls[number]
            index = len(self._output)
            item = self._shape.call(index, number, ToolCall(call.name, "".join(texts) or "{}", call.id))
            kind, field = ("function_call_arguments", "arguments")
            begun = {**item, "status": "in_progress"}
            if item["type"] == "custom_tool_call":
                kind, field, begun = "custom_tool_call_input", "input", item
            place = {"item_id": item["id"], "output_index": index}
            out += [
                self._event("response.output_item.added", {"output_index": index, "item": {**begun, field: ""}}),
                self._event(f"response.{kind}.delta", {**place, "delta": item[field]}),
                self._event(f"response.{kind}.done", {**place, **_named(item), field: item[field]}),
                self._done(index, item),
            ]
        return out


def _named(item: dict[str, Json]) -> dict[str, Json]:
    """OpenAI names the function again when its arguments are complete."""
    return {"name": item["name"]} if item["type"] == "function_call" else {}


CLIENT: Final = ClientDialect("responses", read_request, StreamWriter, write_answer, error_body)

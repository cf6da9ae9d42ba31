"""OpenAI's older `POST /v1/completions` as clients speak it: a prompt, and the text that goes on with it.

`echo` is done here: the prompt stands before the answer's text. Thoughts, which that API does not know, go out beside
the text as `reasoning`.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.chunks import DONE, KEEP_ALIVE, usage_object
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.encoding import encode, encode_text
from llm_gateway.wire.errors import error_body
from llm_gateway.wire.fields import optional, required, short_text, wrong_type
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Json, Message, Piece, Prompt, Usage
from llm_gateway.wire.params import PARAMS, check_param
from llm_gateway.wire.requests import MAX_TAG, read_metadata, read_model, read_params

MOST_LOGPROBS: Final = 20
UNKNOWN: Final = -9999.0
"""The logarithm that a token gets of which a server gave none, as OpenAI's own servers write it."""


# ---- what clients send ----


def read_request(body: bytes) -> ChatRequest:
    """The body of `POST /v1/completions`. Raises InvalidRequest and its kin; unknown fields are ignored."""
    fields = decode_body(body)
    for name in ("n", "best_of"):
        _one(fields, name)
    prompt = Prompt(_prompt(fields), optional(fields, "suffix", str) or None)
    if not prompt.text and prompt.suffix is None:
        raise InvalidRequest("`prompt` is empty: there is nothing to go on with.", param="prompt")
    ask = ChatRequest(read_model(fields), [Message("user", prompt.text)], prompt=prompt)
    ask.stream = optional(fields, "stream", bool) or False
    options = optional(fields, "stream_options", dict) or {}
    ask.include_usage = optional(options, "include_usage", bool, "stream_options") or False
    ask.params = read_params(fields, (name for name in PARAMS if name != "max_tokens"))
    if fields.get("max_tokens") not in (None, 0) or isinstance(fields.get("max_tokens"), bool):
        ask.params["max_tokens"] = check_param("max_tokens", fields["max_tokens"])
    ask.top_logprobs = _logprobs(fields)
    ask.logprobs = ask.top_logprobs is not None
    if optional(fields, "logit_bias", dict):
        ask.wishes = {"logit_bias": fields["logit_bias"]}
    ask.keep_alive = fields.get("keep_alive")  # Ollama's own; clients that know it send it here, too
    ask.own = optional(fields, "echo", bool) or False
    read_metadata(fields, ask)
    ask.end_user = short_text(fields, "user", MAX_TAG) or ask.end_user
    return ask


def _one(fields: dict[str, Json], name: str) -> None:
    value = fields.get(name)
    if value is None:
        return
    if type(value) is not int or value < 1:
        raise InvalidRequest(f"`{name}` must be a whole number from 1; the gateway gives 1 answer.", param=name)
    if value > 1:
        raise UnsupportedParameter(f"`{name}` is {value}: the gateway gives one answer per request.", param=name)


def _prompt(fields: dict[str, Json]) -> str:
    prompt = fields.get("prompt")
    if not isinstance(prompt, list):
        return required(fields, "prompt", str)
    if len(prompt) == 1 and isinstance(prompt[0], str):
        return prompt[0]
    sent = f"a list of {len(prompt):,} strings"
    if not all(isinstance(item, str) for item in prompt):
        sent = "a list of tokens" if all(isinstance(item, int | list) for item in prompt) else "a list of other things"
    raise UnsupportedParameter(
        f"`prompt` is {sent}; it must be a string, or a list of one string: ask once for each prompt.", param="prompt"
    )


def _logprobs(fields: dict[str, Json]) -> int | None:
    top = fields.get("logprobs")
    if top is None or top is False:
        return None
    if type(top) is not int:
        raise wrong_type("logprobs", f"a whole number from 0 to {MOST_LOGPROBS}", top)
    if not 0 <= top <= MOST_LOGPROBS:
        raise InvalidRequest(f"`logprobs` must be from 0 to {MOST_LOGPROBS}; you sent {top}.", param="logprobs")
    return top


# ---- what clients get ----


class StreamWriter:
    """The stream of one answer: everything but the text is encoded once."""

    content_type = "text/event-stream"

    __slots__ = ("_close", "_echo", "_end", "_head", "_logprobs", "_open", "_rest", "_usage")

    def __init__(self, envelope: Envelope, ask: ChatRequest) -> None:
        self._head = b"data: " + encode(_head(envelope))[:-1]
        self._open = self._head + b',"choices":[{"text":'
        usage = b',"usage":null' if ask.include_usage else b""
        self._rest = b',"index":0,"logprobs":null,"finish_reason":null'
        self._end = b"}]" + usage + b"}\n\n"
        self._close = self._rest + self._end
        self._usage = ask.include_usage
        self._echo = _echo(ask)
        self._logprobs = _Logprobs(ask)

    def piece(self, piece: Piece) -> bytes:
        text = self._begun(piece.text)
        if piece.logprobs is None:
            if not piece.thinking:
                return self._open + encode_text(text) + self._close
            thought = b',"reasoning":' + encode_text(piece.thinking)
            return self._open + encode_text(text) + self._rest + thought + self._end
        choice = _choice(text, piece.thinking, self._logprobs.object(piece.logprobs), None)
        return self._frame(choice, b',"usage":null' if self._usage else b"")

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        """Who gave the parts of an answer that was stitched together is said in fields of our own, as in a chat."""
        more = b',"usage":null' if self._usage else b""
        if finish.spliced is not None:
            more += b"," + encode(finish.spliced)[1:-1]
        last = self._frame(_choice(self._begun(""), "", None, finish.reason), more)
        if self._usage:
            last += self._head + b',"choices":[],"usage":' + encode(usage_object(usage)) + b"}\n\n"
        return last + DONE

    def error(self, body: dict[str, Json]) -> bytes:
        return b"data: " + encode(body) + b"\n\n"

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def _begun(self, text: str) -> str:
        """The text with the prompt before it, the first time."""
        text, self._echo = self._echo + text, ""
        return text

    def _frame(self, choice: dict[str, Json], more: bytes) -> bytes:
        return self._head + b',"choices":[' + encode(choice) + b"]" + more + b"}\n\n"


def write_answer(envelope: Envelope, ask: ChatRequest, answer: Answer) -> bytes:
    logprobs = _Logprobs(ask).object(answer.logprobs)
    choice = _choice(_echo(ask) + answer.text, answer.thinking, logprobs, answer.finish)
    return encode(_head(envelope) | {"choices": [choice], "usage": usage_object(answer.usage)})


def _head(envelope: Envelope) -> dict[str, Json]:
    return {
        "id": f"cmpl-{envelope.id}",
        "object": "text_completion",
        "created": envelope.created,
        "model": envelope.model,
    }


def _choice(text: str, thinking: str, logprobs: Json, reason: str | None) -> dict[str, Json]:
    """`tool_calls` is no reason that this API knows."""
    choice = {
        "text": text,
        "index": 0,
        "logprobs": logprobs,
        "finish_reason": "stop" if reason == "tool_calls" else reason,
    }
    return choice | ({"reasoning": thinking} if thinking else {})


def _echo(ask: ChatRequest) -> str:
    return ask.prompt.text if ask.own and ask.prompt is not None else ""


class _Logprobs:
    """Tokens in the shape of this API: four lists side by side. The prompt's own tokens are not among them."""

    __slots__ = ("_offset", "_top")

    def __init__(self, ask: ChatRequest) -> None:
        self._offset = len(_echo(ask))
        """Where the next token stands in the text."""
        self._top = ask.top_logprobs or 0

    def object(self, items: list[Json] | None) -> Json:
        if items is None:
            return None
        tokens = [_text(item.get("token")) for item in items]
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token)
        tops = [self._tops(item["top_logprobs"]) for item in items] if self._top else None
        values = [_number(item.get("logprob")) for item in items]
        return {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}

    def _tops(self, tops: list[Json]) -> dict[str, float]:
        return {_text(top.get("token")): _number(top.get("logprob")) for top in tops[: self._top]}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Json) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else UNKNOWN


CLIENT: Final = ClientDialect("completions", read_request, StreamWriter, write_answer, error_body)

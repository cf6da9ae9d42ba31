"""OpenAI's chat completions as clients speak them. How servers imitate them is `openai_upstream`'s matter."""

from __future__ import annotations

from typing import Final

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.chunks import DONE, ChunkWriter, completion, is_plain, plain, usage_object
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.errors import error_body
from llm_gateway.wire.fields import as_object, at_most, optional, required, short_text, wrong_type
from llm_gateway.wire.messages import read_messages
from llm_gateway.wire.neutral import (
    Answer,
    ChatRequest,
    Envelope,
    Finish,
    Json,
    Usage,
)
from llm_gateway.wire.notes import note
from llm_gateway.wire.openai_short import read_short
from llm_gateway.wire.params import PARAMS, check_param
from llm_gateway.wire.requests import MAX_TAG, MAX_TOOLS, read_metadata, read_model, read_params, read_tools

_EFFORTS: Final[dict[str, bool | str]] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}
_GIVEN_ON: Final = ("logit_bias", "prediction", "verbosity")
"""Wishes that servers of OpenAI's kind may know."""
_DROPPED: Final = ("audio", "web_search_options")
_SAME_NAME: Final = tuple(name for name in PARAMS if name != "max_tokens")
_PLAIN: Final = frozenset({"model", "messages", "stream", "stream_options", "max_completion_tokens", *PARAMS})
"""All that most requests hold; of what else there may be nobody looks for any then."""


# ---- what clients send ----


def read_request(body: bytes) -> ChatRequest:
    """The body of `POST /v1/chat/completions`. Raises InvalidRequest and its kin; unknown fields are ignored."""
    if (short := read_short(body)) is not None:
        return short
    fields = decode_body(body)
    notes: list[str] = []
    plain = fields.keys() <= _PLAIN
    if not plain:
        _one_answer(fields)
        _modernise(fields)
        notes = [note(name, "dropped") for name in _DROPPED if fields.get(name)]
    ask = ChatRequest(read_model(fields), read_messages(fields, notes), notes=notes)
    ask.stream = optional(fields, "stream", bool) or False
    if options := optional(fields, "stream_options", dict):
        ask.include_usage = optional(options, "include_usage", bool, "stream_options") or False
    ask.params = _params(fields)
    if plain:
        return ask
    ask.tools = read_tools(fields)
    ask.tool_choice = _tool_choice(fields, ask)
    ask.format = _format(fields)
    ask.think = read_think(fields)
    ask.logprobs = optional(fields, "logprobs", bool) or False
    ask.top_logprobs = _top_logprobs(fields, ask)
    ask.wishes = {name: fields[name] for name in _GIVEN_ON if fields.get(name)} | read_parallel(fields, ask.tools)
    ask.keep_alive = fields.get("keep_alive")  # Ollama's own; clients that know it send it here, too
    read_metadata(fields, ask)
    ask.end_user = short_text(fields, "user", MAX_TAG) or ask.end_user
    return ask


def _one_answer(fields: dict[str, Json]) -> None:
    n = fields.get("n")
    if n is None:
        return
    if type(n) is not int or n < 1:
        raise InvalidRequest("`n` must be a whole number from 1; the gateway gives 1 answer.", param="n")
    if n > 1:
        raise UnsupportedParameter(f"`n` is {n}: the gateway gives one answer per request; ask again.", param="n")


def _modernise(fields: dict[str, Json]) -> None:
    """`functions` and `function_call`, which OpenAI gave up for `tools`."""
    functions = optional(fields, "functions", list)
    if not functions or fields.get("tools"):
        return
    fields["tools"] = [{"type": "function", "function": function} for function in functions]
    choice = fields.get("function_call")
    fields["tool_choice"] = {"type": "function", "function": choice} if isinstance(choice, dict) else choice


def _params(fields: dict[str, Json]) -> dict[str, Json]:
    params = read_params(fields, _SAME_NAME)
    for name in ("max_completion_tokens", "max_tokens"):  # the newer name wins
        sent = fields.get(name)
        if sent is not None and (sent != 0 or sent is False):  # 0 is how some clients say that there is no limit
            params["max_tokens"] = check_param("max_tokens", sent, where=name)
            break
    return params


def _tool_choice(fields: dict[str, Json], ask: ChatRequest) -> Json:
    """ "none" takes the tools away, so that no policy about tools applies; "auto" is the default."""
    choice = fields.get("tool_choice")
    if choice is None or choice == "auto":
        return None
    if choice == "none":
        ask.tools = []
        return None
    if not ask.tools:
        raise InvalidRequest("`tool_choice` needs `tools`.", param="tool_choice")
    if choice == "required":
        return choice
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return _allowed(required(choice, "allowed_tools", dict, "tool_choice"), ask)
    if not isinstance(choice, dict) or choice.get("type") != "function":
        raise InvalidRequest(
            '`tool_choice` must be "none", "auto", "required" or an object with a `type`: function or allowed_tools.',
            param="tool_choice",
        )
    _chosen(choice, "tool_choice", ask)
    return choice


def _allowed(allowed: dict[str, Json], ask: ChatRequest) -> Json:
    """Leaves only these tools in sight."""
    path = "tool_choice.allowed_tools"
    mode = optional(allowed, "mode", str, path) or "auto"
    if mode not in ("auto", "required"):
        raise InvalidRequest(f"`{path}.mode` is {mode[:40]!r}; it must be auto or required.", param=f"{path}.mode")
    listed = required(allowed, "tools", list, path)
    at_most(MAX_TOOLS, listed, f"{path}.tools")
    places = [(item, f"{path}.tools[{n}]") for n, item in enumerate(listed)]
    names = {_chosen(as_object(item, where), where, ask) for item, where in places}
    ask.tools = [tool for tool in ask.tools if tool["function"]["name"] in names]
    return mode if mode == "required" and ask.tools else None


def _chosen(choice: dict[str, Json], path: str, ask: ChatRequest) -> str:
    name = required(required(choice, "function", dict, path), "name", str, f"{path}.function")
    if all(tool["function"]["name"] != name for tool in ask.tools):
        raise InvalidRequest(f"`{path}` names {name[:64]!r}, which is not among `tools`.", param=path)
    return name


def _format(fields: dict[str, Json]) -> Json:
    wanted = optional(fields, "response_format", dict)
    if wanted is None:
        return None
    kind = required(wanted, "type", str, "response_format")
    if kind == "text":
        return None
    if kind == "json_object":
        return "json"
    if kind == "json_schema":
        path = "response_format.json_schema"
        return required(required(wanted, "json_schema", dict, "response_format"), "schema", dict, path)
    raise InvalidRequest(
        f"`response_format.type` is {kind[:40]!r}; it must be text, json_object or json_schema.",
        param="response_format.type",
    )


def read_parallel(fields: dict[str, Json], tools: list[Json]) -> dict[str, Json]:
    """The wish that is `parallel_tool_calls`, where there are tools. Servers differ in what they do unasked."""
    parallel = optional(fields, "parallel_tool_calls", bool)
    return {} if parallel is None or not tools else {"parallel_tool_calls": parallel}


def read_think(fields: dict[str, Json]) -> bool | str | None:
    """`reasoning_effort`, or `reasoning.effort` as the Responses API has it. Raises InvalidRequest."""
    path, effort = "reasoning_effort", fields.get("reasoning_effort")
    if effort is None and (reasoning := optional(fields, "reasoning", dict)) is not None:
        path, effort = "reasoning.effort", reasoning.get("effort")
    if effort is None:
        return None
    if not isinstance(effort, str):
        raise wrong_type(path, "a string", effort)
    if effort not in _EFFORTS:
        raise InvalidRequest(f"`{path}` is {effort[:40]!r}; it must be one of {', '.join(_EFFORTS)}.", param=path)
    return _EFFORTS[effort]


def _top_logprobs(fields: dict[str, Json], ask: ChatRequest) -> int | None:
    top = fields.get("top_logprobs")
    if top is None:
        return None
    if type(top) is not int or not 0 <= top <= 20:
        raise InvalidRequest("`top_logprobs` must be a whole number from 0 to 20.", param="top_logprobs")
    if not ask.logprobs:
        raise InvalidRequest("`top_logprobs` needs `logprobs: true`.", param="top_logprobs")
    return top


# ---- what clients get ----


class StreamWriter(ChunkWriter):
    __slots__ = ("_usage",)

    def __init__(self, envelope: Envelope, ask: ChatRequest) -> None:
        super().__init__(envelope, chat_id=_chat_id(envelope), usage_key=ask.include_usage)
        self._usage = ask.include_usage

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        if not self._usage:
            return self._last(finish, b"") + DONE
        figures = self._head + b',"choices":[],"usage":' + encode(usage_object(usage)) + b"}\n\n"
        return self._last(finish, b',"usage":null') + figures + DONE

    def error(self, body: dict[str, Json]) -> bytes:
        return b"data: " + encode(body) + b"\n\n"


def write_answer(envelope: Envelope, _ask: ChatRequest, answer: Answer) -> bytes:
    if is_plain(answer):
        return plain(
            envelope, answer, chat_id=_chat_id(envelope), message=b',"refusal":null', choice=b',"logprobs":null'
        )
    whole = completion(envelope, answer, chat_id=_chat_id(envelope))
    choice = whole["choices"][0]
    choice.setdefault("logprobs", None)  # both nulls are required by OpenAI's own description of the API
    choice["message"]["refusal"] = None
    return encode(whole)


def _chat_id(envelope: Envelope) -> str:
    return f"chatcmpl-{envelope.id}"


CLIENT: Final = ClientDialect("openai", read_request, StreamWriter, write_answer, error_body)

"""OpenAI's Responses API. Streams are read as strictly as the event order that OpenAI describes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from support.apis.api import Api, Heard
from support.apis.wishes import FORM, HELLO, URL

TERMINAL = ("response.completed", "response.incomplete", "response.failed")
REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def write(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of the question by its name here."""
    body = dict(question)
    body["input"] = body.pop("messages")
    if "max_tokens" in body:
        body["max_output_tokens"] = body.pop("max_tokens")
    if "tools" in body:
        body["tools"] = [{"type": "function", **tool["function"]} for tool in body["tools"]]
    return {"model": model, **body}


def write_stream(model: str, question: Mapping[str, Any]) -> dict[str, Any]:
    return {**write(model, question), "stream": True}


def read(answer: httpx.Response) -> Heard:
    value = answer.json()
    if answer.status_code != 200:
        return Heard(error=value["error"])
    return heard(value)


def heard(response: Mapping[str, Any]) -> Heard:
    """A response object that is complete or was cut short."""
    assert response["object"] == "response"
    text, thinking, calls = "", "", []
    for item in response["output"]:
        if item["type"] == "message":
            text += "".join(part["text"] for part in item["content"])
        elif item["type"] == "reasoning":
            thinking += "".join(part["text"] for part in item["summary"])
        else:
            calls.append((item["name"], item["arguments"] if item["type"] == "function_call" else item["input"]))
    finish = "tool_calls" if calls else "stop"
    if response["status"] == "incomplete":
        finish = REASONS[response["incomplete_details"]["reason"]]
    usage = response["usage"]
    return Heard(text, thinking, calls, finish, None, True, (usage["input_tokens"], usage["output_tokens"]))


def events(raw: str) -> Iterator[dict[str, Any]]:
    """Each event is a name and one line of data that names itself the same, and they are numbered."""
    assert raw.endswith("\n\n"), raw[-200:]
    number = 0
    for block in raw[:-2].split("\n\n"):
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        if not lines:
            continue
        name, data = lines
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}", block
        assert event["sequence_number"] == number, block
        number += 1
        yield event


def read_stream(answer: httpx.Response) -> Heard:
    if answer.status_code != 200:
        return read(answer)
    assert answer.headers["content-type"] == "text/event-stream"
    told = list(events(answer.text))
    kinds = [event["type"] for event in told]
    assert kinds[:2] == ["response.created", "response.in_progress"], kinds[:3]
    assert [event for event in told if event["type"] in TERMINAL], kinds[-3:]
    text = "".join(event["delta"] for event in told if event["type"] == "response.output_text.delta")
    thinking = "".join(event["delta"] for event in told if event["type"] == "response.reasoning_summary_text.delta")
    if kinds[-1] == "error":
        assert kinds[-2] == "response.failed", kinds[-3:]
        failed = told[-2]["response"]
        assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
        assert failed["error"]["message"] == told[-1]["error"]["message"]
        return Heard(text, thinking, error=told[-1]["error"])
    assert kinds[-1] in ("response.completed", "response.incomplete"), kinds[-3:]
    whole = heard(told[-1]["response"])
    assert (whole.text, whole.thinking) == (text, thinking)
    done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert done == told[-1]["response"]["output"]
    return whole


ASKS: Mapping[str, Mapping[str, Any]] = {
    "image": {"input": [{"role": "user", "content": [
        {"type": "input_text", "text": "What"}, {"type": "input_image", "image_url": URL},
        {"type": "input_text", "text": "is it?"}]}]},
    "form": {"text": {"format": {"type": "json_schema", **FORM}}},
    "think": {"reasoning": {"effort": "low"}},
    "logprobs": {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
    "sampling": {"seed": 7, "stop": ["x"], "max_output_tokens": 3},
    "keep": {"keep_alive": "10m"},
    "developer": {"input": [{"role": "developer", "content": "Be brief."}, *HELLO]},
    "must": {"tool_choice": "required"},
    "none": {"tool_choice": "none"},
}  # fmt: skip

APIS = (
    Api("responses", "/v1/responses", False, True, write, read, ASKS),
    Api("responses-stream", "/v1/responses", True, True, write_stream, read_stream),
)

"""Ollama's ways round the chat template: the rendered prompt, and text that is gone on with as it is."""

from __future__ import annotations

import json
from pathlib import Path

from llm_gateway.wire import ollama_upstream as ollama
from llm_gateway.wire.neutral import ChatRequest, Finish, Message, Piece, Prompt, Usage

CASES = Path(__file__).parent / "cases" / "ollama"
ASK = ChatRequest("asked", [Message("user", "hi"), Message("assistant", " w000")], keep_alive="5m")


def test_a_rendering_is_asked_for_as_the_chat_itself_but_for_a_token():
    body = json.loads(ollama.write_render(ASK, "m", {"temperature": 0.2, "max_tokens": 90, "num_ctx": 4096}))
    assert body["_debug_render_only"] is True
    assert body["options"] == {"temperature": 0.2, "num_predict": 1, "num_ctx": 4096}
    assert body["messages"][-1] == {"role": "assistant", "content": " w000"}


def test_the_prompt_is_read_from_a_captured_rendering():
    captured = json.loads((CASES / "chat-debug-render.json").read_text())["response"]["body"]
    assert ollama.read_rendering(captured.encode()) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_a_generation_is_no_rendering():
    for frame in (
        b'{"model":"m","message":{"content":" w000"},"done":false}',
        b"",
        b"<html>",
        b"[]",
        b'{"_debug_info":1}',
    ):
        assert ollama.read_rendering(frame) is None


def test_a_raw_prompt_takes_the_parameters_and_no_messages():
    ask = ChatRequest("asked", ASK.messages, prompt=Prompt("text", raw=True), think=True, keep_alive="5m")
    body = json.loads(ollama.write_prompt(ask, "m", {"max_tokens": 5, "stop": ["x"]}))
    assert body == {
        "model": "m", "prompt": "text", "raw": True, "stream": True, "keep_alive": "5m",
        "options": {"num_predict": 5, "stop": ["x"]},
    }  # fmt: skip


def test_frames_of_generate_are_read():
    reader = ollama.PromptReader()
    body = (
        b'{"model":"recite","created_at":"2026-11-23T07:17:41Z","response":" w002","done":false}\n'
        b'{"model":"recite","created_at":"2026-11-23T07:17:41Z","response":"","done":true,"done_reason":"length",'
        b'"prompt_eval_count":23,"eval_count":1}\n'
    )
    assert reader.feed(body) == [Piece(" w002"), Finish("length", Usage(23, 1))]
    assert reader.echoed == "recite"

"""Answers that are not 200, captured and collected: each means one thing for the fleet."""

from __future__ import annotations

import pytest
from effort import effort
from wire_cases import Case, cases

from llm_gateway.errors import FaultKind
from llm_gateway.wire.faults import fault_of, fault_of_error

HTML = "<!doctype html><html><title>nginx</title></html>"


@pytest.mark.parametrize("case", cases("refusals"))
def test_a_captured_refusal_is_understood(case: Case):
    assert fault_of(case.status, case.content_type, case.body).kind.value == case.expect["fault"]


@pytest.mark.parametrize(
    ("status", "content_type", "body", "kind"),
    [
        (500, "json", '{"error":"llama runner process has terminated: exit status 2"}', "out_of_memory"),
        (500, "json", '{"error":"llama-server process has terminated: exit status 1: oops"}', "out_of_memory"),
        (500, "json", '{"error":"model requires more system memory (9 GiB) than is available"}', "out_of_memory"),
        (500, "json", '{"error":"cudaMalloc failed: out of memory"}', "out_of_memory"),
        (500, "json", '{"error":"unable to load model: /blobs/sha256-1 not found"}', "out_of_memory"),
        (500, "json", '{"error":"timed out waiting for llama runner to start - progress 0"}', "out_of_memory"),
        (500, "json", '{"error":"unexpected server status: llm busy - no slots available"}', "busy"),
        (500, "json", '{"error":"model runner has unexpectedly stopped, this may be due to …"}', "server_error"),
        (500, "json", '{"error":"POST predict: Post \\"http://127.0.0.1:1/completion\\": EOF"}', "server_error"),
        (500, "json", '{"error":"invalid tool call: x"}', "server_error"),
        (503, "json", '{"error":"server busy, please try again.  maximum pending requests exceeded"}', "busy"),
        (503, "json", '{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', "busy"),
        (503, "json", '{"error":"Server overloaded, please retry shortly (ref: 1)"}', "busy"),
        (503, "html", HTML, "server_error"),
        (503, "plain", "no available server", "server_error"),
        (429, "html", HTML, "busy"),
        (529, "json", '{"error":{"type":"overloaded_error","message":"Overloaded"}}', "busy"),
        (400, "json", '{"error":"the prompt is longer than the context length currently available (10)"}', "context"),
        (400, "json", '{"error":"{\\"error\\":{\\"type\\":\\"exceed_context_size_error\\"}}"}', "context"),
        (400, "json", '{"object":"error","message":"maximum context length is 9 tokens","code":400}', "context"),
        (400, "json", '{"error":{"message":"\\"auto\\" tool choice requires --enable-auto-tool-choice"}}', "incapable"),
        (404, "json", '{"error":{"message":"The model `x` does not exist.","type":"NotFoundError"}}', "model_missing"),
        (404, "json", '{"error":"model \\"x\\" not found, try pulling it first"}', "model_missing"),
        (404, "json", '{"detail":"Not Found"}', "not_the_protocol"),
        (404, "html", HTML, "not_the_protocol"),
        (405, "plain", "405 method not allowed", "not_the_protocol"),
        (400, "plain", "Client sent an HTTP request to an HTTPS server.", "not_the_protocol"),
        (422, "json", '{"detail":[{"loc":["body"],"msg":"field required"}]}', "caller"),
        (413, "html", HTML, "incapable"),
        (401, "json", '{"error":"unauthorized","signin_url":"https://x"}', "auth"),
        (401, "json", '{"error":{"message":"model x not found for this key"}}', "auth"),
        (403, "plain", "", "auth"),
        (403, "html", HTML, "auth"),
        (301, "html", HTML, "redirect"),
        (307, "json", '{"error":"moved"}', "redirect"),
        (502, "html", HTML, "server_error"),
        (524, "html", HTML, "server_error"),
        (500, "plain", "", "server_error"),
        (501, "plain", "", "incapable"),
        (204, None, "", "not_the_protocol"),
        (500, "json", '{"error":' + "[" * 5000, "server_error"),
    ],
)
def test_what_refusals_mean(status, content_type, body, kind):
    assert fault_of(status, content_type and f"x/{content_type}", body.encode()).kind.value == kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "no such model", "caller"),
        (400, "out of memory", "caller"),
        (400, "rate limit", "caller"),
        (400, "the model x does not exist", "caller"),
        (500, "llama-server process has terminated", "server_error"),
        (400, "does not support tools", "incapable"),
        (400, "tool choice requires --x", "caller"),
        (400, "requires --mmproj", "incapable"),
    ],
)
def test_a_callers_own_words_that_a_server_repeats_put_nobody_out(status: int, words: str, kind: str):
    """As llama.cpp quotes a schema."""
    body = (
        b'{"error":{"message":"For this model: JSON schema error at #/tools: unrecognized type %s"}}' % words.encode()
    )
    asked = b'{"messages":[],"response_format":{"schema":{"type":"%s"}}}' % words.title().encode()
    fault = fault_of(status, "x/json", body, asked=asked)
    assert (fault.kind.value, fault.lacks) == (kind, None)


def test_a_model_that_is_missing_is_missing_whatever_the_caller_says():
    body = b'{"error":"model \'x\' not found"}'
    assert fault_of(404, "x/json", body, asked=b'{"prompt":"What is 404 not found?"}').kind is FaultKind.MODEL_MISSING


def test_retry_after_is_kept_in_seconds_and_makes_a_bare_503_a_busy_one():
    fault = fault_of(503, "text/html", HTML.encode(), retry_after=" 7 ")
    assert (fault.kind, fault.retry_after) == (FaultKind.BUSY, 7.0)
    for unreadable in ("Wed, 21 Oct 2026 07:28:00 GMT", "-1", "nan", "1e9", ""):
        assert fault_of(429, None, b"", retry_after=unreadable).retry_after is None


def test_the_servers_words_reach_the_caller_only_when_they_are_about_the_request():
    assert fault_of(400, "json", b'{"error":"num_predict is odd"}').said == "num_predict is odd"
    assert fault_of(500, "json", b'{"error":"out of memory"}').said is None
    assert fault_of(400, "html", HTML.encode()).said is None


def test_the_servers_words_are_stripped_of_addresses_but_not_of_model_names():
    said = fault_of_error(
        "llama3.2:3b: failed at http://10.0.0.7:11434/api (10.0.0.7:80, [fe80::1], gpu.lab.local:8080)", status=400
    ).said
    assert said is not None
    assert said.startswith("llama3.2:3b: failed at …")
    for secret in ("10.0.0.7", "11434", "fe80", "gpu.lab"):
        assert secret not in said


@pytest.mark.parametrize(
    "secret",
    [
        "http://10.0.0.7:11434/api/chat?key=1",
        "HTTPS://gpu.lab.example/v1",
        "unix:///run/ollama.sock",
        "10.0.0.7",
        "10.0.0.7:11434",
        "0x7f.0.0.1",
        "0177.0.0.01",
        "0x7f000001",
        "2130706433:8080",
        "fe80::1",
        "fe80::1%eth0",
        "FE80::2AB:34ff:fe56:7",
        "2001:db8:0:1:2:3:4:5",
        "::ffff:10.0.0.7",
        "::1",
        "[::1]",
        "[2001:db8::8]:11434",
        "[::ffff:10.0.0.7]:80",
        "[fe80::1%25eth0]:80",
        "localhost:8080",
        "gpu01:11434",
        "gpu-7.lab.local:8080",
        "node_3:80",
        "/srv/ollama/models/blobs/sha256-1",
        "/model.gguf",
        "~/models/a.gguf",
        "../models/a.gguf",
    ],
)
@pytest.mark.parametrize(
    "around", ["bad thing at {} here", 'bad thing "{}" here', "bad thing ({}): here", "at={}, here"]
)
def test_no_address_of_the_servers_side_is_repeated_however_it_is_written(secret: str, around: str):
    said = fault_of_error(around.format(secret), status=400).said
    assert said is not None
    assert "…" in said
    assert said.endswith("here")
    left = said.replace("bad thing", "").replace("here", "").replace("at=", "").replace(" at ", "")
    assert left.strip(' …"():,') == ""


@pytest.mark.parametrize("path", ["C:\\Program Files\\a.gguf", "\\\\nas\\my models\\a.gguf", "file:/my/a.gguf"])
def test_a_path_that_may_hold_spaces_is_left_out_to_the_end_of_its_line(path: str):
    said = fault_of_error(f'bad "{path}" there\nand bad {path}', status=400).said
    assert said is not None
    assert said.replace("file:", "") == 'bad "…" there\nand bad …'


@pytest.mark.parametrize(
    "text",
    [
        "llama3.2:3b does not support thinking",
        'model "hf.co/bartowski/Qwen-7B-GGUF:Q4_K_M" does not support tools',
        "registry.ollama.ai/library/gpt-oss:20b does not support tools",
        'option "num_ctx" must be of type integer, not 1.5',
        "the prompt has 4097 tokens: maximum context length is 4096, version 0.12.10",
        "messages.0.content: Input should be a valid string and/or a list [type=string_type]",
        "unexpected </think> at the end; text/event-stream was asked for",
        "std::exception: 3/4 of it",
    ],
)
def test_what_only_looks_a_little_like_an_address_is_left_alone(text: str):
    assert fault_of_error(text, status=400).said == text


def test_only_the_beginning_of_a_long_text_is_judged_and_repeated():
    assert fault_of_error("x" * 3000 + " out of memory").kind is FaultKind.SERVER_ERROR
    assert fault_of_error("http://h/" + "x" * 3000 + " tail", status=400).said == "…"
    assert fault_of_error({"message": "odd", "type": "x" * 3000 + "model_not_found"}).kind is FaultKind.SERVER_ERROR
    assert fault_of_error({"message": "odd", "type": ["model_not_found"]}).kind is FaultKind.SERVER_ERROR


@pytest.mark.parametrize(
    "word", ["a", "a.", "a-", "1", "1.", "0x", ":", "::1", "/", "~/", "[", "\\", "http:", "model "]
)
def test_a_long_text_is_no_more_work_than_a_short_one(word: str):
    short, long = (f"does not support {word * (size // len(word))}" for size in (4_000, 64_000))
    assert effort(lambda: fault_of_error(long)) < 20 * effort(lambda: fault_of_error(short))


def test_an_error_frame_with_a_code_is_judged_by_it():
    assert fault_of_error({"message": "bad tool", "code": 400}).kind is FaultKind.CALLER
    assert fault_of_error({"message": "boom", "code": 500}).kind is FaultKind.SERVER_ERROR
    assert fault_of_error("model 'x' not found").kind is FaultKind.MODEL_MISSING
    assert fault_of_error(["odd"]).kind is FaultKind.SERVER_ERROR


def test_details_for_logs_are_short_and_hold_no_control_characters():
    detail = fault_of(500, "json", b'{"error":"a\\u001b[31m' + b"x" * 5000 + b'"}').detail
    assert len(detail) < 400
    assert detail.isprintable()

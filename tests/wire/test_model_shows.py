"""What servers show of one model, captured and odd; and what their lists and refusals say that it is able to."""

from __future__ import annotations

import json

import pytest
from wire_cases import Case, cases

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.faults import fault_of, fault_of_error
from llm_gateway.wire.models import MOST_CAPABILITIES, ModelShow, read_models, read_show, read_tags, write_show


def body(**values: object) -> bytes:
    return json.dumps(values).encode()


@pytest.mark.parametrize("case", cases("shows"))
def test_what_is_shown_of_a_captured_model_is_read(case: Case):
    expected = {**case.expect, "capabilities": tuple(case.expect["capabilities"])}
    assert read_show(case.body) == ModelShow(**expected)


def test_the_question_names_the_model():
    assert json.loads(write_show("llama3.2:3b")) == {"model": "llama3.2:3b"}


def test_a_server_that_does_not_tell_leaves_it_unknown():
    assert read_show(b"{}") == ModelShow()
    assert read_show(body(details={"family": "qwen2"}, template="{{ .Prompt }}")) == ModelShow(architecture="qwen2")


def test_the_context_is_that_of_the_architecture_and_not_of_a_part_of_it():
    info = {"clip.vision.context_length": 77, "gemma3.context_length": 131072, "general.architecture": "gemma3"}
    assert read_show(body(model_info=info)).context_length == 131072
    assert read_show(body(model_info={"llama.context_length": 8192})).context_length == 8192
    assert read_show(body(model_info={"clip.vision.context_length": 77})).context_length is None


def test_absurd_fields_are_unknown():
    info = {"general.architecture": 7, "general.basename": "x" * 999, "llama.context_length": "8k"}
    assert read_show(body(capabilities="tools", model_info=info, details=[])) == ModelShow()
    many = [f"c{n}" for n in range(1000)]
    told = read_show(body(capabilities=[None, 7, {}, *many, "tools"])).capabilities
    assert (told[0], len(told)) == ("tools", MOST_CAPABILITIES)


@pytest.mark.parametrize("odd", [b"", b"<html>", b"[]", b"7", b"[" * 999])
def test_what_is_no_object_is_not_the_protocol(odd: bytes):
    with pytest.raises(Fault) as caught:
        read_show(odd)
    assert caught.value.kind is FaultKind.NOT_THE_PROTOCOL


def test_an_error_with_status_200_is_no_model():
    with pytest.raises(Fault):
        read_show(body(error="model 'x' not found"))


def test_capabilities_come_in_one_order_and_under_one_name():
    (model,) = read_tags(body(models=[{"name": "m", "capabilities": ["audio", "thinking", "tools", "completion"]}]))
    assert model.capabilities == ("completion", "tools", "thinking", "audio")
    (model,) = read_models(body(data=[{"id": "m", "capabilities": ["chat", "tool_use", "multimodal", "reasoning"]}]))
    assert model.capabilities == ("completion", "tools", "vision", "thinking")
    said = {"completion_chat": True, "function_calling": True, "vision": False}
    (model,) = read_models(body(data=[{"id": "m", "capabilities": said}]))
    assert model.capabilities == ("completion", "tools")


def test_a_list_in_openais_shape_that_says_only_that_a_model_completes_says_nothing_of_tools():
    (model,) = read_models(body(data=[{"id": "m", "capabilities": ["completion"]}]))
    assert model.capabilities == ()


@pytest.mark.parametrize(
    ("status", "error", "lacks"),
    [
        (400, "registry.ollama.ai/library/recite:latest does not support tools", "tools"),
        (400, '"recite" does not support thinking', "thinking"),
        (400, '"nomic-embed-text" does not support chat', "completion"),
        (400, '"nomic-embed-text" does not support generate', "completion"),
        (400, "registry.ollama.ai/library/recite:latest does not support insert", "insert"),
        (400, "registry.ollama.ai/library/recite:latest does not support vision", "vision"),
        (501, "This server does not support embeddings. Start it with `--embeddings`", "embedding"),
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', "tools"),
        (500, "tools param requires --jinja flag", "tools"),
        (500, "image input is not supported - hint: you may need to provide the mmproj", "vision"),
        (400, "x is not a multimodal model", "vision"),
        (501, "Infill is not supported by this model", "insert"),
        (404, "No endpoints found that support tool use.", "tools"),
        (404, "No endpoints found that support image input", "vision"),
        (400, "Unsupported parameter: 'reasoning_effort' is not supported with this model.", "thinking"),
        (400, "raw mode does not support template, system, or context", None),
    ],
)
def test_a_refusal_says_what_is_lacking(status: int, error: str, lacks: str | None):
    for shape in (error, {"message": error, "type": "invalid_request_error", "code": status}):
        fault = fault_of(status, "application/json", body(error=shape))
        assert (fault.kind, fault.lacks) == (FaultKind.INCAPABLE, lacks)
        assert fault_of_error(shape).lacks == lacks, "before 0.12.6 it comes as the first frame of a stream"


@pytest.mark.parametrize("case", [c for c in cases("refusals") if "unsupported" in str(c.id)])
def test_a_captured_refusal_says_what_is_lacking(case: Case):
    wanted = "thinking" if "think" in case.name else "tools"
    assert fault_of(case.status, case.content_type, case.body).lacks == wanted


def test_other_faults_say_nothing_of_capabilities():
    assert fault_of(500, "json", body(error="model runner has unexpectedly stopped; does not")).lacks is None
    assert fault_of(404, "json", body(error="model 'supports tools' not found")).lacks is None
    assert fault_of(413, "text/html", b"<html>does not support tools").lacks is None

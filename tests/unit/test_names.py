from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.names import canonical


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:latest", "llama3.2:latest"),
        ("Llama3.2:3B", "llama3.2:3b"),
        ("hf.co/Qwen/Qwen2.5", "hf.co/qwen/qwen2.5:latest"),
        ("registry:5000/llama3.2", "registry:5000/llama3.2:latest"),
        ("registry:5000/llama3.2:3b", "registry:5000/llama3.2:3b"),
        ("", ":latest"),
    ],
)
def test_a_name_without_a_tag_is_the_latest_and_case_does_not_count(name: str, form: str):
    assert canonical(name) == form


@given(st.text(max_size=20))
def test_the_canonical_form_is_its_own(name: str):
    assert canonical(canonical(name)) == canonical(name)

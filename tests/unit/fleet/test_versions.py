"""Old servers that show strangers what others asked are known by their version."""

from __future__ import annotations

import pytest

from llm_gateway.fleet.versions import leaks


@pytest.mark.parametrize(
    ("kind", "version", "told"),
    [
        ("ollama", "0.17.0", True),
        ("ollama", "0.5.13-rc1", True),
        ("ollama", "v0.1.30", True),
        ("ollama", "0.17", True),
        ("ollama", "0.17.1", False),
        ("ollama", "0.33.0", False),
        ("ollama", "1.0", False),
        ("ollama", "0.0.0", False),
        ("ollama", "nonsense", False),
        ("ollama", None, False),
        ("openai", "0.5.0", False),
    ],
)
def test_which_versions_give_prompts_away(kind: str, version: str | None, told: bool):
    assert leaks(kind, version) is told

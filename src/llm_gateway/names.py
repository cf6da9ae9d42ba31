"""When two names mean the same physical model."""

from __future__ import annotations


def canonical(name: str) -> str:
    """The form in which names of physical models are compared: lower case, with a tag.

    Ollama reads a name without a tag as `…:latest` and ignores case (`llama3.2` is `Llama3.2:latest`). Only a colon
    behind the last slash begins a tag: `host:5000/llama3.2` has none. For comparing only, never for showing.
    """
    name = name.lower()
    return name if ":" in name[name.rfind("/") + 1 :] else f"{name}:latest"

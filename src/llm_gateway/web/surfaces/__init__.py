"""The client protocols: one file each, and one line here (what is not hot: in `cold`)."""

from typing import Final

from llm_gateway.web.surfaces import (
    anthropic,
    completions,
    embeddings,
    native,
    ollama,
    openai,
    responses,
)
from llm_gateway.web.surfaces.route import Route

ROUTES: Final[tuple[Route, ...]] = (
    *native.ROUTES,
    *openai.ROUTES,
    *responses.ROUTES,
    *completions.ROUTES,
    *embeddings.ROUTES,
    *anthropic.ROUTES,
    *ollama.ROUTES,
)
"""Hot: matched before FastAPI."""

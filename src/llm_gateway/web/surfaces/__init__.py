"""The client protocols: one file each, and one line here."""

from typing import Final

from fastapi import APIRouter

from llm_gateway.web.surfaces import (
    anthropic,
    completions,
    embeddings,
    models,
    native,
    ollama,
    openai,
    responses,
    usage,
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
ROUTERS: Final[tuple[APIRouter, ...]] = (models.router, ollama.router, usage.router)
"""Cold: questions about what there is and what was."""

"""The client protocols' questions about what there is and what was, which FastAPI serves: one line each."""

from typing import Final

from fastapi import APIRouter

from llm_gateway.web.surfaces import models, ollama_lists, usage

ROUTERS: Final[tuple[APIRouter, ...]] = (models.router, ollama_lists.router, usage.router)

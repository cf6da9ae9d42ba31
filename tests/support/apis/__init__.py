"""All client APIs there are: a file for each dialect, and a line here."""

from support.apis import anthropic, chunks, completions, ollama, responses
from support.apis.api import Api, Heard

__all__ = ["APIS", "Api", "Heard"]

APIS: tuple[Api, ...] = (
    *chunks.APIS,
    *responses.APIS,
    *completions.APIS,
    *anthropic.APIS,
    *ollama.APIS,
)

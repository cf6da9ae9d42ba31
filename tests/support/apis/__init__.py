"""All client APIs there are: a file for each dialect, and a line here."""

from support.apis import chunks, ollama
from support.apis.api import Api, Heard

__all__ = ["APIS", "Api", "Heard"]

APIS: tuple[Api, ...] = (*chunks.APIS, *ollama.APIS)

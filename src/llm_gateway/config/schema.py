"""JSON Schema of the config file, for editors: made from the fields that also check it, so the two cannot differ.

What it cannot say (names used twice, variables that are not set, addresses) `config check` says.
"""

from __future__ import annotations

from typing import Any

from llm_gateway.config.document import Document
from llm_gateway.settings import Settings


class ConfigFile(Settings, Document):
    """Config file of llm-gateway: any setting, and the servers, models and projects that the file owns."""


def json_schema() -> dict[str, Any]:
    """The schema (JSON Schema 2020-12) as plain JSON values."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ConfigFile.model_json_schema()}

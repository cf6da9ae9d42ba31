"""Kinds of texts that several parts of the config file hold."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from llm_gateway.settings import PREFIX, wrong


def _name(text: str) -> str:
    if not re.fullmatch(r"\S(.*\S)?", text) or not text.isprintable():
        raise wrong("must be visible characters, without spaces at its ends")
    return text


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", text):
        raise wrong("must be the name of an environment variable, not the secret itself")
    return text


def _sent_variable(text: str) -> str:
    if text.upper().startswith(PREFIX):
        raise wrong("must not name a setting of the gateway: its value would be sent away")
    return text


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_name)]
Variable = Annotated[str, AfterValidator(_variable)]
SentVariable = Annotated[Variable, AfterValidator(_sent_variable)]
"""Of a variable whose value leaves the gateway."""

"""Sampling and model parameters by their neutral names: one table for requests, exposures and config files."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.neutral import Json


class Param(NamedTuple):
    kind: type
    """float (an int is accepted), int, list (of str; a str is accepted) or str."""
    low: float | None
    high: float | None
    ollama: str | None
    """Its name inside Ollama's `options`, None where Ollama has none."""
    openai: str | None
    """Its name in OpenAI's chat body, None where an OpenAI-compatible server need not know it."""


PARAMS: Final[dict[str, Param]] = {
    "temperature": Param(float, 0, 2, "temperature", "temperature"),
    "max_tokens": Param(int, 1, 1_000_000, "num_predict", "max_tokens"),
    "top_p": Param(float, 0, 1, "top_p", "top_p"),
    "top_k": Param(int, 0, 1_000_000, "top_k", "top_k"),
    "min_p": Param(float, 0, 1, "min_p", "min_p"),
    "seed": Param(int, -(2**63), 2**63 - 1, "seed", "seed"),
    "stop": Param(list, None, None, "stop", "stop"),
    "presence_penalty": Param(float, -2, 2, "presence_penalty", "presence_penalty"),
    "frequency_penalty": Param(float, -2, 2, "frequency_penalty", "frequency_penalty"),
    "repeat_penalty": Param(float, 0, 10, "repeat_penalty", None),
    "num_ctx": Param(int, 64, 10_000_000, "num_ctx", None),
}


def check_param(name: str, value: Json, *, where: str | None = None) -> Json:
    """The value in its canonical type. Raises InvalidRequest that names the field, what was sent, what is allowed."""
    spec = PARAMS[name]
    sent = type(value)
    if sent is spec.kind and spec.low is not None and spec.high is not None and spec.low <= value <= spec.high:
        return value
    field = where or name
    if spec.kind is list:
        stops = [value] if isinstance(value, str) else value
        if not isinstance(stops, list) or len(stops) > 16 or not all(isinstance(s, str) and s for s in stops):
            raise InvalidRequest(
                f"`{field}` must be a string or a list of at most 16 strings, none empty.", param=field
            )
        return stops
    wanted = "a whole number" if spec.kind is int else "a number"
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, float) and spec.kind is int and value.is_integer():
        value, whole = int(value), True
    if not (whole or (spec.kind is float and isinstance(value, float))):
        raise InvalidRequest(f"`{field}` must be {wanted}, not {named(value)}.", param=field)
    # written so that NaN (a config file may hold it) is out of every range
    if not ((spec.low is None or value >= spec.low) and (spec.high is None or value <= spec.high)):
        raise InvalidRequest(f"`{field}` must be from {spec.low} to {spec.high}; you sent {value}.", param=field)
    return float(value) if spec.kind is float else value


KEPT_LEAST: Final = 60.0
KEPT_MOST: Final = 3600.0
"""Seconds that a request may keep a model in a server's memory: neither thrown out under others, nor there for ever."""
_DURATION: Final = re.compile(r"(-?\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


def kept_alive(value: Json) -> Json:
    """Ollama's `keep_alive` (a number of seconds, or a text such as `5m`) within bounds; a negative one means for ever
    there. None = the server's own default, also for what is no duration."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _UNITS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        return None
    if KEPT_LEAST <= seconds <= KEPT_MOST:
        return value
    return int(KEPT_LEAST if 0 <= seconds < KEPT_LEAST else KEPT_MOST)


def named(value: Json) -> str:
    """What a JSON value is, in words for an error message."""
    kinds = {
        str: "a string",
        bool: "true/false",
        list: "a list",
        dict: "an object",
        float: "a fraction",
        int: "a number",
    }
    return kinds.get(type(value), "null")

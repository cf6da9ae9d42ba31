"""Fields that the bodies of Ollama's `/api/chat` and `/api/generate` share -> the neutral form.

Ollama answers 500 to an option of the wrong type and to a format that is none; both are the caller's mistakes, so
here they are a 400 that names the field.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.fields import at_most, join, optional, wrong_type
from llm_gateway.wire.messages import MAX_PARTS
from llm_gateway.wire.neutral import ChatRequest, Json
from llm_gateway.wire.notes import note
from llm_gateway.wire.params import PARAMS, check_param

_NEUTRAL: Final = {spec.ollama: name for name, spec in PARAMS.items() if spec.ollama}
"""Option -> the neutral parameter that it is."""
_LEFT_OUT: Final = frozenset(
    {
        *("num_keep", "typical_p", "tfs_z", "repeat_last_n", "mirostat", "mirostat_tau", "mirostat_eta"),
        *("penalize_newline", "draft_num_predict", "numa", "num_batch", "num_gpu", "main_gpu", "num_thread"),
        *("low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap", "use_mlock"),
    }
)
"""Options of Ollama's, of now or of before, that have no neutral name. Most are the server owner's business."""
_PLAIN: Final = frozenset({"model", "messages", "prompt", "stream", "options"})
"""All that most requests hold; of what else there may be nobody looks for any then."""
_LEVELS: Final = ("low", "medium", "high", "max")
_DATA_URL: Final = re.compile(r"data:[a-z0-9.+/-]{0,64};base64,", re.IGNORECASE)
_NO_TIME: Final = re.compile(r"[+-]?0+(?:\.0*)?(?:ns|us|µs|ms|s|m|h)?")


def read_shared(fields: dict[str, Json], ask: ChatRequest) -> None:
    """Everything but model, messages, prompt and tools. Raises InvalidRequest; notes what has no effect here."""
    ask.stream = optional(fields, "stream", bool) is not False
    ask.params = _params(fields, ask.notes)
    if fields.keys() <= _PLAIN:
        return
    ask.format = _format(fields)
    ask.think = _think(fields)
    ask.keep_alive = _keep_alive(fields)
    ask.logprobs = optional(fields, "logprobs", bool) or False
    top = _top_logprobs(fields)
    ask.top_logprobs = top if ask.logprobs else None
    optional(fields, "truncate", bool)  # no prompt is cut in silence here, whatever it says
    if optional(fields, "shift", bool) is False:
        ask.notes.append(note("shift", "dropped"))


def read_images(item: dict[str, Json], path: str = "") -> list[str]:
    """`images`: base64, as Ollama wants it, or data URLs, as people send it. Raises InvalidRequest."""
    images = optional(item, "images", list, path) or []
    at_most(MAX_PARTS, images, join(path, "images"))
    return [_image(image, f"{join(path, 'images')}[{n}]") for n, image in enumerate(images)]


def unloads(ask: ChatRequest) -> bool:
    """Does a request without a question ask to throw the model out of memory, rather than to load it?"""
    kept = ask.keep_alive
    return kept == 0 or (isinstance(kept, str) and _NO_TIME.fullmatch(kept.strip()) is not None)


def _params(fields: dict[str, Json], notes: list[str]) -> dict[str, Json]:
    params: dict[str, Json] = {}
    for name, value in (optional(fields, "options", dict) or {}).items():
        if value is None or _as_you_like(name, value):
            continue
        if (neutral := _NEUTRAL.get(name)) is not None:
            params[neutral] = check_param(neutral, value, where=f"options.{name}")
        else:
            said = note(f"options.{name}" if name in _LEFT_OUT else "options", "dropped")
            if said not in notes:
                notes.append(said)
    if params.get("stop") == []:
        del params["stop"]
    return params


def _as_you_like(name: str, value: Json) -> bool:
    """Ollama's numbers for "no limit" and "any seed"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value <= 0 if name == "num_predict" else name == "seed" and value == -1


def _format(fields: dict[str, Json]) -> Json:
    wanted = fields.get("format")
    if wanted is None or wanted == "":
        return None
    if wanted == "json" or isinstance(wanted, dict):
        return wanted
    sent = f"{wanted[:40]!r}" if isinstance(wanted, str) else "something else"
    raise InvalidRequest(f'`format` must be "json" or a JSON schema (an object); you sent {sent}.', param="format")


def _think(fields: dict[str, Json]) -> bool | str | None:
    think = fields.get("think")
    if think is None or isinstance(think, bool):
        return think
    if isinstance(think, str) and think in _LEVELS:
        return think
    raise InvalidRequest(f"`think` must be true, false or one of {', '.join(_LEVELS)}.", param="think")


def _keep_alive(fields: dict[str, Json]) -> Json:
    kept = fields.get("keep_alive")
    if kept is not None and (isinstance(kept, bool) or not isinstance(kept, str | int | float)):
        raise wrong_type("keep_alive", 'a number of seconds or a text such as "5m"', kept)
    return kept


def _top_logprobs(fields: dict[str, Json]) -> int | None:
    top = fields.get("top_logprobs")
    if top is None or (type(top) is int and 0 <= top <= 20):
        return top
    raise InvalidRequest("`top_logprobs` must be a whole number from 0 to 20.", param="top_logprobs")


def _image(image: Json, path: str) -> str:
    if not isinstance(image, str):
        raise wrong_type(path, "a string of base64", image)
    head = _DATA_URL.match(image[:100])
    data = image[head.end() :] if head else image
    if "\n" in data[:200]:  # as `base64` the command wraps it
        data = data.encode("ascii", "replace").translate(None, b" \t\r\n").decode()
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError:  # binascii.Error, and characters beyond ASCII
        raise InvalidRequest(f"`{path}` does not hold valid base64.", param=path) from None
    return data

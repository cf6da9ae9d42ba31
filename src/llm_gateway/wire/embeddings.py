"""Vectors as clients ask for them, in three spellings: OpenAI's `/v1/embeddings`, Ollama's `/api/embed` and its older
`/api/embeddings`.

Numbers are passed on as the server wrote them, or as little-endian floats of 32 bits in base64, which OpenAI's clients
ask for by default. Ollama's `/api/embed` promises vectors of length 1, so one that has another is stretched; so are
those of the older path, where Ollama leaves them as they come: which server answers must not show in the lengths.
"""

from __future__ import annotations

import base64
import struct
from typing import Final

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.dialect import EmbedDialect
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.fields import at_most, optional, required, short_text, wrong_type
from llm_gateway.wire.neutral import ChatRequest, Envelope, Inputs, Json, Usage
from llm_gateway.wire.params import check_param
from llm_gateway.wire.requests import MAX_TAG, read_metadata, read_model
from llm_gateway.wire.vectors import stretched

MOST_INPUTS: Final = 2_048
"""Texts of one request, as OpenAI has it."""
MOST_DIMENSIONS: Final = 65_536
_ENCODINGS: Final = ("float", "base64")


# ---- OpenAI ----


def read_openai(body: bytes) -> ChatRequest:
    """The body of `POST /v1/embeddings`. Raises InvalidRequest and its kin; unknown fields are ignored."""
    fields = decode_body(body)
    texts = _texts(fields)
    for n, text in enumerate(texts):
        if not text:
            where = "input" if isinstance(fields["input"], str) else f"input[{n}]"
            raise InvalidRequest(f"`{where}` is empty: there is nothing to make a vector of.", param=where)
    if not texts:
        raise InvalidRequest("`input` is empty: send at least one text.", param="input")
    ask = ChatRequest(read_model(fields), [], inputs=Inputs(texts, _dimensions(fields)))
    ask.keep_alive = fields.get("keep_alive")  # Ollama's own; clients that know it send it here, too
    ask.own = optional(fields, "encoding_format", str) or "float"
    if ask.own not in _ENCODINGS:
        raise InvalidRequest(
            f"`encoding_format` is {ask.own[:40]!r}; it must be float or base64.", param="encoding_format"
        )
    read_metadata(fields, ask)
    ask.end_user = short_text(fields, "user", MAX_TAG) or ask.end_user
    return ask


def write_openai(envelope: Envelope, ask: ChatRequest, vectors: list[list[float]], usage: Usage) -> bytes:
    written: list[Json] = [_base64(vector) for vector in vectors] if ask.own == "base64" else list(vectors)
    return encode(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": n, "embedding": one} for n, one in enumerate(written)],
            "model": envelope.model,
            "usage": {"prompt_tokens": usage.input, "total_tokens": usage.input},
        }
    )


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


# ---- Ollama ----


def read_embed(body: bytes) -> ChatRequest:
    """The body of `POST /api/embed`. No text at all is allowed: there are no vectors then. Raises as `read_openai`."""
    fields = decode_body(body)
    texts = [] if fields.get("input") == "" else _texts(fields)
    dimensions = None if fields.get("dimensions") == 0 else _dimensions(fields)  # how a Go client says nothing
    inputs = Inputs(texts, dimensions, optional(fields, "truncate", bool))
    ask = ChatRequest(read_model(fields), [], inputs=inputs)
    _ollamas(fields, ask)
    return ask


def write_embed(envelope: Envelope, ask: ChatRequest, vectors: list[list[float]], usage: Usage) -> bytes:
    answer: dict[str, Json] = {"model": ask.model, "embeddings": [stretched(vector) for vector in vectors]}
    if usage.input:
        answer["prompt_eval_count"] = usage.input
    return encode(answer)


def read_embeddings(body: bytes) -> ChatRequest:
    """The body of `POST /api/embeddings`: one text, which may be empty. Raises as `read_openai`."""
    fields = decode_body(body)
    prompt = optional(fields, "prompt", str)
    ask = ChatRequest(read_model(fields), [], inputs=Inputs([prompt] if prompt else []))
    _ollamas(fields, ask)
    return ask


def write_embeddings(envelope: Envelope, ask: ChatRequest, vectors: list[list[float]], usage: Usage) -> bytes:
    return encode({"embedding": stretched(vectors[0]) if vectors else []})


def _ollamas(fields: dict[str, Json], ask: ChatRequest) -> None:
    """Of the options only the context matters to a vector."""
    options = optional(fields, "options", dict) or {}
    if options.get("num_ctx") is not None:
        ask.params["num_ctx"] = check_param("num_ctx", options["num_ctx"], where="options.num_ctx")
    ask.keep_alive = fields.get("keep_alive")


# ---- both ----


def _texts(fields: dict[str, Json]) -> list[str]:
    sent = fields.get("input")
    if not isinstance(sent, list):
        return [required(fields, "input", str)]
    at_most(MOST_INPUTS, sent, "input")
    for n, text in enumerate(sent):
        if isinstance(text, int | list) and not isinstance(text, bool):
            raise UnsupportedParameter(
                "`input` holds tokens; send texts: a string, or a list of strings.", param="input"
            )
        if not isinstance(text, str):
            raise wrong_type(f"input[{n}]", "a string", text)
    return sent


def _dimensions(fields: dict[str, Json]) -> int | None:
    wanted = fields.get("dimensions")
    if wanted is None:
        return None
    if type(wanted) is not int or not 1 <= wanted <= MOST_DIMENSIONS:
        raise InvalidRequest(f"`dimensions` must be a whole number from 1 to {MOST_DIMENSIONS:,}.", param="dimensions")
    return wanted


OPENAI: Final = EmbedDialect(read_openai, write_openai)
OLLAMA: Final = EmbedDialect(read_embed, write_embed)
OLLAMA_OLD: Final = EmbedDialect(read_embeddings, write_embeddings)

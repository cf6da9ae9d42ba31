"""Writes a tiny GGUF model that a real llama.cpp server loads: 6 MB, half a second, standard library only.

The model recites. After any prompt it says " w000 w001 w002 …" up to its last word, then ends its turn; given a text
that ends in " w041" it goes on with " w042", at any temperature. So every gap and every repeat in an answer shows,
word by word. It has the plain `llama` architecture with one-hot embeddings and dead attention: the last token alone
picks the next one. The tokenizer falls back to bytes, so any prompt is accepted.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
"""GGUF's types of metadata values."""
UNKNOWN, CONTROL, USER, BYTE = 2, 3, 4, 6
"""GGUF's `tokenizer.ggml.token_type`."""
ALIGNMENT = 32
FEED_FORWARD = 64
END_OF_TURN = 4
LOGIT = 40.0
"""So far above all others that no temperature chooses another word."""

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Recital:
    """What the model says. `loop`: after the last word the first again, for ever. `text`: exactly that instead, in
    pieces of four characters; one that was said before is longer, since a piece alone decides what follows it."""

    words: int = 256
    prefix: str = "w"
    loop: bool = False
    text: str = ""

    def pieces(self) -> list[str]:
        if self.text:
            return _distinct(self.text, 4)
        width = max(3, len(str(self.words - 1)))
        return [f" {self.prefix}{number:0{width}d}" for number in range(self.words)]


def _distinct(text: str, size: int) -> list[str]:
    pieces: list[str] = []
    begin = 0
    for end in range(len(text) + 1):
        if end - begin >= size and text[begin:end] not in pieces:
            pieces.append(text[begin:end])
            begin = end
    if text[begin:]:
        pieces[-1:] = ["".join([*pieces[-1:], text[begin:]])]
    return pieces


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    """In ggml's order, the fastest dimension first."""
    data: array[float]


def write_recital(path: Path, recital: Recital, *, context: int = 4096) -> None:
    """Writes the model file."""
    tokens, types = _vocabulary(recital)
    first = tokens.index(recital.pieces()[0])
    tensors = _tensors(len(tokens), first, recital)
    values = _metadata(tokens, types, context)
    head = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(values)))
    head += b"".join(values)
    offset = 0
    for tensor in tensors:
        size = len(tensor.data) * 4
        dimensions = len(tensor.shape)
        head += _string(tensor.name)
        head += struct.pack(f"<I{dimensions}QIQ", dimensions, *tensor.shape, 0, offset)
        offset += size + _padding(size)
    with path.open("wb") as file:
        file.write(head + b"\0" * _padding(len(head)))
        for tensor in tensors:
            raw = tensor.data.tobytes()
            file.write(raw + b"\0" * _padding(len(raw)))


def _vocabulary(recital: Recital) -> tuple[list[str], list[int]]:
    tokens = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    types = [UNKNOWN] + [CONTROL] * 4
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [BYTE] * 256
    tokens += recital.pieces()
    types += [USER] * len(recital.pieces())
    while len(tokens) % 64:  # the width of a head
        tokens.append(f"<pad{len(tokens)}>")
        types.append(CONTROL)
    return tokens, types


def _tensors(size: int, first: int, recital: Recital) -> list[Tensor]:
    """One layer that does nothing, between one-hot embeddings and a head that knows each token's successor."""
    last = first + len(recital.pieces()) - 1
    embedding, head = _zeros(size, size), _zeros(size, size)
    for token in range(size):
        embedding[token * size + token] = 1.0
        if first <= token < last:
            successor = token + 1
        elif token == last and not recital.loop:
            successor = END_OF_TURN
        else:
            successor = first
        head[successor * size + token] = LOGIT
    ones = array("f", [1.0] * size)
    undo_rms = array("f", [1.0 / math.sqrt(size)] * size)
    return [
        Tensor("token_embd.weight", (size, size), embedding),
        Tensor("blk.0.attn_norm.weight", (size,), ones),
        Tensor("blk.0.ffn_norm.weight", (size,), ones),
        Tensor("blk.0.attn_q.weight", (size, size), _zeros(size, size)),
        Tensor("blk.0.attn_k.weight", (size, 64), _zeros(size, 64)),
        Tensor("blk.0.attn_v.weight", (size, 64), _zeros(size, 64)),
        Tensor("blk.0.attn_output.weight", (size, size), _zeros(size, size)),
        Tensor("blk.0.ffn_gate.weight", (size, FEED_FORWARD), _zeros(size, FEED_FORWARD)),
        Tensor("blk.0.ffn_up.weight", (size, FEED_FORWARD), _zeros(size, FEED_FORWARD)),
        Tensor("blk.0.ffn_down.weight", (FEED_FORWARD, size), _zeros(FEED_FORWARD, size)),
        Tensor("output_norm.weight", (size,), undo_rms),
        Tensor("output.weight", (size, size), head),
    ]


def _metadata(tokens: list[str], types: list[int], context: int) -> list[bytes]:
    size = len(tokens)
    return [
        _entry("general.architecture", STRING, "llama"),
        _entry("general.name", STRING, "recite"),
        _entry("general.file_type", U32, 0),
        _entry("general.alignment", U32, ALIGNMENT),
        _entry("llama.context_length", U32, context),
        _entry("llama.embedding_length", U32, size),
        _entry("llama.block_count", U32, 1),
        _entry("llama.feed_forward_length", U32, FEED_FORWARD),
        _entry("llama.attention.head_count", U32, size // 64),
        _entry("llama.attention.head_count_kv", U32, 1),
        _entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-6),
        _entry("llama.rope.dimension_count", U32, 64),
        _entry("llama.vocab_size", U32, size),
        _entry("tokenizer.ggml.model", STRING, "llama"),
        _entry("tokenizer.ggml.pre", STRING, "default"),
        _entries("tokenizer.ggml.tokens", STRING, tokens),
        _entries("tokenizer.ggml.scores", F32, [0.0] * size),
        _entries("tokenizer.ggml.token_type", I32, types),
        _entry("tokenizer.ggml.unknown_token_id", U32, 0),
        _entry("tokenizer.ggml.bos_token_id", U32, 1),
        _entry("tokenizer.ggml.eos_token_id", U32, END_OF_TURN),
        _entry("tokenizer.ggml.eot_token_id", U32, END_OF_TURN),
        _entry("tokenizer.ggml.add_bos_token", BOOL, False),
        _entry("tokenizer.ggml.add_space_prefix", BOOL, False),
        _entry("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def _entry(key: str, kind: int, value: str | float | bool) -> bytes:
    return _string(key) + struct.pack("<I", kind) + _value(kind, value)


def _entries(key: str, kind: int, values: Sequence[str | float]) -> bytes:
    body = b"".join(_value(kind, value) for value in values)
    return _string(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + body


def _value(kind: int, value: str | float | bool) -> bytes:
    if kind == STRING:
        return _string(str(value))
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _zeros(rows: int, columns: int) -> array[float]:
    return array("f", bytes(4 * rows * columns))


def _padding(size: int) -> int:
    return -size % ALIGNMENT

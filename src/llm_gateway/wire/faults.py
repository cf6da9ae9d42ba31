"""What a model server's refusal means: status, content type and the first bytes of its body -> one `Fault`.

Servers word the same trouble differently from version to version, so texts are matched loosely and the status
decides when no text is known. Sources: the servers' public code and captured answers (tests/wire/cases/refusals).
"""

from __future__ import annotations

import re
from typing import Final

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.decoding import BadJson, decode_answer
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import Json

_LACKS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (capability, re.compile(pattern))
    for capability, pattern in (
        ("thinking", r"does not support (thinking|reasoning)|reasoning.?effort.{0,60}(not supported|unsupported)"),
        (
            "tools",
            r"does not support (tools?|function)|tool choice requires --|tools?\b.{0,20} requires? --jinja"
            r"|no endpoints found that support tool",
        ),
        (
            "vision",
            r"does not support (vision|image|multimodal)|not a multimodal model|image input is not supported"
            r"|requires? --mmproj|no endpoints found that support image",
        ),
        ("insert", r"does not support (insert|suffix|infill)|infill is not supported"),
        ("embedding", r"does not support embed|requires? --embedding|not support embeddings?\b"),
        ("completion", r"does not support (chat|generat|completion)"),
    )
)
"""What a refusal says is lacking, by Ollama's names for capabilities."""
_TEXTS: Final[tuple[tuple[FaultKind, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (
            FaultKind.CONTEXT,
            r"exceed_context_size|context_length_exceeded|longer than the context length|exceeds the context length"
            r"|exceeds the available context|maximum context length|too large to process",
        ),
        (
            FaultKind.OUT_OF_MEMORY,
            r"out of memory|more system memory|cudamalloc|(runner|llama-server) process has terminated"
            r"|unable to load model|failed to load model|timed out waiting for .{0,20}runner"
            r"|incompatible with your version",
        ),
        (
            FaultKind.MODEL_MISSING,
            r"model_not_found|try pulling it first|no such model|no endpoints found(?! that support)"
            r"|model\b.{0,300}\b(not found|does not exist)",
        ),
        (
            FaultKind.INCAPABLE,
            r"does not support|not_supported_error|is not a multimodal model|(image input|infill) is not supported"
            r"|requires? --(jinja|enable-auto-tool-choice|mmproj|embeddings?)|no endpoints found that support"
            r"|reasoning.?effort.{0,60}(not supported|unsupported)",
        ),
        (
            FaultKind.BUSY,
            r"server busy|overloaded|llm busy|no slots available|loading model|too many requests|rate.?limit",
        ),
        (FaultKind.CALLER, r"^option \"|^invalid format:|^invalid option"),
    )
)
_COSTLY: Final = frozenset({FaultKind.OUT_OF_MEMORY, FaultKind.MODEL_MISSING, FaultKind.BUSY})
"""What puts a model out for minutes at once, or halves a server's limit: no caller's words may do that to others."""
_STATUS: Final[dict[int, FaultKind]] = {
    401: FaultKind.AUTH,
    402: FaultKind.AUTH,
    403: FaultKind.AUTH,
    405: FaultKind.NOT_THE_PROTOCOL,
    407: FaultKind.AUTH,
    408: FaultKind.SERVER_ERROR,
    425: FaultKind.SERVER_ERROR,
    429: FaultKind.BUSY,
    499: FaultKind.SERVER_ERROR,
    501: FaultKind.INCAPABLE,
    529: FaultKind.BUSY,
}
_ADDRESS: Final = re.compile(
    r"""
      (?<![\w.-]) [\w.-]++ (?: ://[^\s"'<>]* | :\d{2,5}(?!\w) )            # a URL; a host with its port
    | (?<![\w.:-]) \[? (?:[0-9a-f]{0,4}:){2,8} [\w.%:]*+ \]? (?::\d+)?     # IPv6
    | \b (?:0x[0-9a-f]+|\d+) (?:\.(?:0x[0-9a-f]+|\d+)){3} \b             # IPv4, in whatever base
    | \b 0x[0-9a-f]{6,}
    | (?<![\w<.~/]) (?:~|\.\.?)? /+ [\w.~] [^\s"'<>]*                    # a path on a disk, also on Windows
    | (?: \b[a-z]:\\ | \\\\ ) [^"'\n]*
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Each alternative begins where a word does, or looks at a bounded number of characters: linear on any text."""
_ABOUT_PLACES: Final = frozenset(
    {FaultKind.DNS, FaultKind.TLS, FaultKind.NOT_PERMITTED, FaultKind.REDIRECT, FaultKind.WRONG_MODEL}
)
"""Kinds whose details are names of hosts, or of what a server calls itself."""
_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*+(?:'|\\?$)|"(?:[^"\\]|\\.)*+(?:"|\\?$)""", re.DOTALL)
"""Also one that was cut off."""
_MOST_JUDGED: Final = 2_000
"""Characters of a server's text that are looked at."""
_MOST_TAG: Final = 100
_MOST_CLEANED: Final = 1_000
_MOST_SAID: Final = 300
_SECONDS: Final = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*")


def fault_of(
    status: int,
    content_type: str | None,
    body_head: bytes,
    *,
    retry_after: str | None = None,
    asked: bytes = b"",
) -> Fault:
    """The Fault behind an answer whose status is not 200. `body_head`: the first bytes of the body, as many as the
    caller cared to read; `retry_after`: that header's text (dates are not understood: no clock here); `asked`: the body
    of the request that was refused, of which servers repeat parts in their words."""
    seconds = _SECONDS.fullmatch(retry_after) if retry_after else None
    wait = float(seconds[1]) if seconds else None
    error = _error_in(body_head)
    html = "html" in (content_type or "").lower() or body_head.lstrip()[:1] == b"<"
    if error is not None:
        kind, text = _judge(error, status, asked)
    else:
        kind, text = _silent(status, wait), body_head[:200].decode("utf-8", "replace")
    detail = f"{status} {'HTML page' if html else ascii(text[:_MOST_SAID])}"
    said, lacks = (_said(kind, text), _lacks(kind, text, asked)) if error is not None else (None, None)
    return Fault(kind, detail, retry_after=wait, said=said, lacks=lacks)


def fault_of_error(error: Json, *, status: int = 200) -> Fault:
    """The Fault behind the `error` value (a text or an object) of a frame in a stream that began with `status`."""
    kind, text = _judge(error, status)
    return Fault(kind, f"error frame: {text[:_MOST_SAID]!a}", said=_said(kind, text), lacks=_lacks(kind, text))


def impersonal(fault: Fault) -> str:
    """What may be kept of its `detail` beside a request: no address, and nothing that a stranger said (such words
    stand in quotes there), for servers repeat what callers wrote."""
    if fault.kind in _ABOUT_PLACES:
        return ""
    text = _QUOTED.sub("…", fault.detail)
    return _ADDRESS.sub("…", text)[:_MOST_SAID]


def error_in_frame(frame: dict[str, Json]) -> Json:
    """The error that a frame carries, None when it carries none."""
    if error := frame.get("error"):
        return error
    return frame if frame.get("object") == "error" else None  # vLLM's own shape


def _error_in(body: bytes) -> Json:
    try:
        value = decode_answer(body)
    except BadJson:
        return None
    if not isinstance(value, dict):
        return None
    # `detail` is what FastAPI servers say before they reach their protocol's code
    return error_in_frame(value) or value.get("detail")


def _judge(error: Json, status: int, asked: bytes = b"") -> tuple[FaultKind, str]:
    text = error if isinstance(error, str) else encode(error).decode()
    tags = ""
    if isinstance(error, dict):
        tags = " ".join(str(tag)[:_MOST_TAG] for tag in (error.get("type"), error.get("code")) if _is_tag(tag))
        if isinstance(message := error.get("message"), str):
            text = message
        if status == 200 and isinstance(code := error.get("code"), int):
            status = code
    text = text[:_MOST_JUDGED]
    searched = f"{text} {tags}".lower()
    if status in (401, 402, 403, 407):  # "model not found" to strangers is still a matter of keys
        return FaultKind.AUTH, text
    if 300 <= status < 400:
        return FaultKind.REDIRECT, text
    for kind, pattern in _TEXTS:
        found = pattern.search(searched)
        if found and not (kind in _COSTLY and status != 404 and _repeats(found[0], asked)):
            return kind, text
    if status == 404:
        return FaultKind.NOT_THE_PROTOCOL, text
    if status == 503:
        return FaultKind.BUSY, text
    if status in _STATUS:
        return _STATUS[status], text
    return (FaultKind.CALLER if 400 <= status < 500 else FaultKind.SERVER_ERROR), text


def _silent(status: int, wait: float | None) -> FaultKind:
    """No error object: a proxy, a login page, another service, or a server in ruins."""
    if 300 <= status < 400:
        return FaultKind.REDIRECT
    if status in _STATUS:
        return _STATUS[status]
    if status == 413:  # a proxy's body limit: the next server may have another
        return FaultKind.INCAPABLE
    if status == 503 and wait is not None:
        return FaultKind.BUSY
    # a 503 page without Retry-After is how proxies say that nobody is behind them
    return FaultKind.SERVER_ERROR if status >= 500 else FaultKind.NOT_THE_PROTOCOL


def _said(kind: FaultKind, text: str) -> str | None:
    """The server's words, for the caller, when they are about the caller's request. Addresses are taken out."""
    if kind not in (FaultKind.CALLER, FaultKind.CONTEXT, FaultKind.INCAPABLE):
        return None
    return _ADDRESS.sub("…", text[:_MOST_CLEANED])[:_MOST_SAID]


def _lacks(kind: FaultKind, text: str, asked: bytes = b"") -> str | None:
    """What the model lacks, where the refusal says so."""
    if kind is not FaultKind.INCAPABLE:
        return None
    searched = text[:_MOST_JUDGED].lower()
    for capability, pattern in _LACKS:
        if found := pattern.search(searched):
            return None if _repeats(found[0], asked) else capability
    return None


def _repeats(words: str, asked: bytes) -> bool:
    """May a server's words be the caller's own? llama.cpp quotes what it does not understand of a schema, Ollama what
    the model made of a prompt. The last two words decide: what stands before them may be the server's."""
    told = " ".join(words.split()[-2:]).encode()
    return bool(asked) and told in asked.lower()


def _is_tag(value: Json) -> bool:
    return isinstance(value, str | int)

"""Headers of every answer under `/admin`, whoever made it: nobody frames it, guesses its type, keeps it or learns its
address. The pages themselves bring a policy of their own for what they may load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Message, Send

PREFIX: Final = "/admin"
API: Final = "/admin/api"
_ALL: Final = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"frame-ancestors 'none'",
}
_OF_API: Final = {
    **_ALL,
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
_HSTS: Final = b"max-age=31536000"


def covers(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def fenced(send: Send, path: str, scheme: str) -> Send:
    """`send` for an answer of that path. What the answer says itself stays."""
    wanted = dict(_OF_API if path.startswith(API) else _ALL)
    if scheme == "https":
        wanted[b"strict-transport-security"] = _HSTS

    async def fence(message: Message) -> None:
        if message["type"] == "http.response.start":
            said = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in wanted.items() if name not in said]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return fence

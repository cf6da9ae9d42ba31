"""The cookie of a session, and what keeps pages of other sites from using it.

The cookie is `HttpOnly` and `SameSite=Strict`, and over TLS `Secure` under a name that browsers take from this host
alone (RFC 6265bis §4.1.3, `__Host-`). A `Secure` cookie over plain HTTP would never be stored: there it has neither,
and the sign-in page warns. What changes something needs a header besides, whose value no other site can read, and must
come from a page of ours.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response

from llm_gateway.errors import Forbidden
from llm_gateway.running import Running
from llm_gateway.storage.logins import LONGEST
from llm_gateway.web.peers import Peers

NAME: Final = "llm_gateway_session"
SECURE_NAME: Final = f"__Host-{NAME}"
CSRF_HEADER: Final = "x-csrf-token"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
_LENGTH: Final = 43
"""Characters of 256 random bits in base64url."""


def encrypted(request: Request) -> bool:
    """Does the client talk TLS, as far as we or a trusted proxy can tell?"""
    peers: Peers = request.app.state.peers
    return peers.scheme(request.scope) == "https"


def presented(request: Request) -> str | None:
    """What the session's cookie holds. Over TLS only the name that no neighbouring host can set counts."""
    value = request.cookies.get(SECURE_NAME if encrypted(request) else NAME)
    return value if value is not None and len(value) == _LENGTH and value.isascii() else None


def give(request: Request, response: Response, value: str) -> None:
    _set(request, response, value, int(LONGEST))


def take_away(request: Request, response: Response) -> None:
    _set(request, response, "", 0)


def _set(request: Request, response: Response, value: str, age: int) -> None:
    secure = encrypted(request)
    name = SECURE_NAME if secure else NAME
    response.set_cookie(name, value, max_age=age, path="/", secure=secure, httponly=True, samesite="strict")


def csrf_of(cookie: str) -> str:
    """What requests of that session carry in `X-CSRF-Token`."""
    return urlsafe_b64encode(hashlib.sha256(b"csrf\0" + cookie.encode()).digest()).decode().rstrip("=")


def check_csrf(request: Request, running: Running, cookie: str) -> None:
    """Raises Forbidden for a change that another site's page may have asked for."""
    check_origin(request, running)
    given = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(errors="replace"), csrf_of(cookie).encode()):
        raise Forbidden("A change with a session's cookie needs the session's `csrf` in the header `X-CSRF-Token`.")


def check_origin(request: Request, running: Running) -> None:
    """Raises Forbidden for what a browser says it sends for another site. Browsers tell the one on TLS and loopback,
    the other with every POST; what is no browser tells neither."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site not in ("same-origin", "none") or (origin is not None and not _ours(origin, request, running)):
        raise Forbidden("This comes from another site's page: sign in, and change things, on the gateway's own pages.")


def _ours(origin: str, request: Request, running: Running) -> bool:
    """By host and port alone: which scheme a browser used is not known behind a proxy that nobody declared."""
    named = {request.headers.get("host", "").lower()}
    if running.settings.public_url:
        named.add(urlsplit(running.settings.public_url).netloc.lower())
    scheme, _, netloc = origin.lower().partition("://")
    return scheme in ("http", "https") and netloc in named

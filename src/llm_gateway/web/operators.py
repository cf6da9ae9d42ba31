"""Who holds the admin token. No framework: Prometheus is answered without one."""

from __future__ import annotations

import hmac

from llm_gateway.access.standing import Headers
from llm_gateway.running import Running


def presented_token(headers: Headers) -> str:
    """What comes as `X-Admin-Key`, else as `Authorization: Bearer`, else nothing."""
    given = {name: value.decode("latin-1") for name, value in reversed(headers)}  # of several the first
    scheme, _, token = given.get(b"authorization", "").partition(" ")
    return given.get(b"x-admin-key") or (token.strip() if scheme.lower() == "bearer" else "")


def is_admin(running: Running, presented: str) -> bool:
    return bool(presented) and hmac.compare_digest(presented.encode(), running.admin_token.encode())

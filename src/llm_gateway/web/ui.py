"""The dashboard's files at `/admin/`: one page with a fresh nonce for every answer, and assets that never change.

They are built from `ui/` into `web/static` (`llm_gateway` in a wheel has them; in a checkout `./run` builds them beside
the running gateway, and a page that loads itself again says so meanwhile).
"""

from __future__ import annotations

import gzip
import html
import mimetypes
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from llm_gateway.errors import NotFound

STATIC: Final = Path(__file__).parent / "static"
CHECKOUT: Final = Path(__file__).resolve().parents[3]
BUILD_LOG: Final = CHECKOUT / ".venv-setup" / "ui-log"
NONCE: Final = b"__CSP_NONCE__"
"""What the build leaves in `index.html` where a nonce belongs."""
MOST_FILES: Final = 256
"""That are kept."""
_COMPRESSED: Final = frozenset({".js", ".css", ".svg", ".json"})
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_YEAR: Final = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@router.get("/admin")
async def without_slash(request: Request) -> Response:
    return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + "/admin/", 307)


@router.get("/admin/")
async def index() -> Response:
    """`index.html`, or while there is none a page that says why."""
    nonce = secrets.token_urlsafe(18)
    file = STATIC / "index.html"
    page = file.read_bytes().replace(NONCE, nonce.encode()) if file.exists() else _unbuilt(nonce)
    return Response(page, media_type="text/html", headers={**_HEADERS, **_policy(nonce), "Cache-Control": "no-store"})


@router.get("/admin/{path:path}")
async def asset(request: Request, path: str) -> Response:
    """A built file. Names of assets hold a hash of what is in them. Raises NotFound."""
    file = STATIC / "index.html"
    if not file.exists() or path not in _names(built := file.stat().st_mtime_ns):
        raise NotFound(f"There is no /admin/{path[:100]}; the dashboard is at /admin/, its API at /admin/api/.")
    whole, small = _read(path, built)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    headers = {
        **_HEADERS,
        "Cache-Control": _YEAR if path.startswith("assets/") else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if small and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(small, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(whole, media_type=kind, headers=headers)


def _policy(nonce: str) -> dict[str, str]:
    """Only what came with this answer runs or styles (OWASP's strict policy); nothing is loaded from elsewhere."""
    rules = (
        "default-src 'self'",
        f"script-src 'self' 'nonce-{nonce}'",
        f"style-src 'self' 'nonce-{nonce}'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
    return {"Content-Security-Policy": "; ".join(rules), "X-Frame-Options": "DENY"}


@lru_cache(1)
def _names(built: int) -> frozenset[str]:
    """The files of a build: a checkout may be built anew under a running gateway."""
    return frozenset(str(file.relative_to(STATIC)) for file in STATIC.rglob("*") if file.is_file())


@lru_cache(MOST_FILES)
def _read(path: str, built: int) -> tuple[bytes, bytes]:
    """A file, and it compressed (empty where that gains nothing). Two megabytes in all, kept from their first use."""
    whole = (STATIC / path).read_bytes()
    return whole, gzip.compress(whole, 6) if Path(path).suffix in _COMPRESSED and len(whole) > 1000 else b""


def _unbuilt(nonce: str) -> bytes:
    if (CHECKOUT / "ui" / "package.json").exists():
        lines = BUILD_LOG.read_text(errors="replace").splitlines()[-12:] if BUILD_LOG.exists() else []
        failed = any(line.startswith("run: the dashboard was not built") for line in lines)
        title = "The dashboard was not built" if failed else "The dashboard is being built"
        text = (
            "Everything else works. <code>./run setup</code> tries again, and says what is missing."
            if failed
            else "This takes half a minute the first time. This page loads itself again; all else works already. "
            "Nothing happens? <code>./run setup</code> builds it and says what is missing."
        )
        log = f"<pre>{html.escape(chr(10).join(lines))}</pre>" if lines else ""
    else:
        title, log = "This installation has no dashboard", ""
        text = "It was built without it (<code>GW_SKIP_UI=1</code>). The API and the command line do all the same."
    refresh = '<meta http-equiv="refresh" content="3">' if "being built" in title else ""
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">{refresh}<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style nonce="{nonce}">body{{font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:12vh auto;padding:0 1rem}}
pre{{overflow:auto;padding:1rem;border:1px solid #8886;border-radius:8px;font-size:13px}}</style>
<h1>{title}</h1><p>{text}</p>{log}</html>""".encode()

"""Times as people type them: `15m`, `2h`, `7d` from now, a date, a moment, Unix seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from llm_gateway.cli.exits import Exit, Stop

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhdw])", re.IGNORECASE)
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_HINT: Final = "For example 15m, 2h, 7d, 2027-01-31, 2027-01-31T12:00:00Z or Unix seconds."


def span(text: str, option: str) -> float:
    """Seconds of `90s`, `15m`, `2h`, `7d`, `1w`, or of a plain number."""
    found = _SPAN.fullmatch(text.strip())
    if found is not None:
        return float(found[1]) * _UNITS[found[2].lower()]
    if re.fullmatch(r"\d{1,12}(\.\d+)?", text.strip()):
        return float(text)
    raise Stop(f"{option} must be a time span such as 30m, 24h or 7d, not {text[:40]!r}.", code=Exit.USAGE)


def past(text: str | None, option: str, now: float) -> str | None:
    """A moment as the API takes it; `7d` is seven days before `now` (Unix seconds)."""
    return None if text is None else _moment(text, option, now, -1)


def ahead(text: str | None, option: str, now: float) -> str | None:
    """A moment as the API takes it; `90d` is ninety days after `now` (Unix seconds)."""
    return None if text is None else _moment(text, option, now, +1)


def _moment(text: str, option: str, now: float, direction: int) -> str:
    """ISO 8601 in UTC; a moment without a zone means UTC."""
    text = text.strip()
    if _SPAN.fullmatch(text):
        unix = now + direction * span(text, option)
    elif text.lower() == "now":
        unix = now
    elif re.fullmatch(r"\d{9,12}(\.\d+)?", text):
        unix = float(text)
    else:
        try:
            moment = datetime.fromisoformat(text)
            unix = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise Stop(f"{option} must be a time, not {text[:40]!r}.", _HINT, code=Exit.USAGE) from None
    if not 0 <= unix < _LATEST:
        raise Stop(f"{option} is out of range.", _HINT, code=Exit.USAGE)
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")

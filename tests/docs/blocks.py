"""Takes Markdown apart: headings, links, and code blocks with the word before them that says how a test runs them.

<!-- test: ask -->
```bash
curl …
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"(?:^<!-- test: (?P<how>[^>]+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `how` is empty where nothing says how to run it."""

    how: str
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(m["how"] or "", m["language"], m["text"]) for m in FENCE.finditer(text)]


def block(page: str, how: str) -> str:
    """The text of the one block that is marked so."""
    (found,) = [each.text for each in blocks(page) if each.how == how]
    return found


def headings(page: str) -> list[int]:
    """Levels of all headings, in order."""
    return [len(mark) for mark in re.findall(r"^(#+) ", _without_blocks(page), re.MULTILINE)]


def links(page: str) -> set[str]:
    """Targets inside the repository, without fragments."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", _without_blocks(page))
    return {target for target in targets if "://" not in target}


def _without_blocks(page: str) -> str:
    return FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))

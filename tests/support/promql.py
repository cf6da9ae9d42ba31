"""PromQL of dashboards and rules: a parser that refuses what is none, and says which metrics and labels are used.

`parse("sum by (a) (rate(m{b=\"c\"}[5m])) > 1")`. It knows the functions and operators below and no others: a new one
is a line here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

AGGREGATIONS = frozenset({"sum", "max", "min", "avg", "count", "topk", "bottomk"})
FUNCTIONS = frozenset({"rate", "increase", "histogram_quantile", "vector"})
RANGED = frozenset({"rate", "increase"})
"""Functions that take a range."""
TOKEN = re.compile(
    r"""\s*(?: (?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*) | (?P<range>\[(?:\d+[smhd]|\$__rate_interval|\$__range)\])
        | (?P<number>\d+(?:\.\d+)?) | (?P<text>"[^"]*") | (?P<sign>==|!=|=~|!~|>=|<=|[-+*/(){},=<>]) )""",
    re.VERBOSE,
)
BINARY = frozenset({"==", "!=", ">", "<", ">=", "<=", "+", "-", "*", "/", "and", "or", "unless"})


class BadQuery(ValueError):
    """It is no PromQL that we know."""


@dataclass
class Used:
    """A metric, and the labels that are matched or summed by where it is used."""

    metric: str
    matched: dict[str, str] = field(default_factory=dict)
    """Label -> the value that it is compared with."""
    summed: set[str] = field(default_factory=set)
    ranged: bool = False


def parse(text: str) -> list[Used]:
    """Every metric that it uses. Raises BadQuery."""
    parser = _Parser(text)
    found = parser.expression()
    if parser.tokens:
        raise BadQuery(f"{text!r}: left over: {parser.tokens}")
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            match = TOKEN.match(text, at)
            if match is None:
                raise BadQuery(f"{text!r}: {text[at:]!r}")
            assert match.lastgroup is not None
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    def expression(self) -> list[Used]:
        found = self.operand()
        while self.tokens and self.tokens[0][1] in BINARY:
            self.tokens.pop(0)
            if self.next_is("on"):
                self.names()
            found += self.operand()
        return found

    def operand(self) -> list[Used]:
        kind, value = self.take()
        if kind == "number":
            return []
        if value == "(":
            found = self.expression()
            self.expect(")")
            return found
        if kind != "word":
            raise BadQuery(f"{self.text!r}: {value!r} begins nothing")
        if value in AGGREGATIONS:
            return self.aggregation()
        if self.tokens and self.tokens[0][1] == "(":
            return self.call(value)
        return [self.selector(value)]

    def aggregation(self) -> list[Used]:
        by = self.names() if self.next_is("by") else set()
        self.expect("(")
        found = self.arguments()
        for used in found:
            used.summed |= by
        return found

    def call(self, name: str) -> list[Used]:
        if name not in FUNCTIONS:
            raise BadQuery(f"{self.text!r}: no function {name}")
        self.expect("(")
        found = self.arguments()
        if name in RANGED and not all(used.ranged for used in found):
            raise BadQuery(f"{self.text!r}: {name} takes a range")
        return found

    def arguments(self) -> list[Used]:
        found = self.expression()
        while self.next_is(","):
            found += self.expression()
        self.expect(")")
        return found

    def selector(self, name: str) -> Used:
        used = Used(name)
        if self.next_is("{"):
            while not self.next_is("}"):
                label = self.take("word")[1]
                if self.take("sign")[1] not in ("=", "!=", "=~", "!~"):
                    raise BadQuery(f"{self.text!r}: {label} is compared with nothing")
                used.matched[label] = self.take("text")[1].strip('"')
                self.next_is(",")
        if self.tokens and self.tokens[0][0] == "range":
            self.tokens.pop(0)
            used.ranged = True
        return used

    def names(self) -> set[str]:
        self.expect("(")
        found = {self.take("word")[1]}
        while self.next_is(","):
            found.add(self.take("word")[1])
        self.expect(")")
        return found

    def take(self, kind: str | None = None) -> tuple[str, str]:
        if not self.tokens or (kind is not None and self.tokens[0][0] != kind):
            raise BadQuery(f"{self.text!r}: {kind or 'more'} expected before {self.tokens[:1]}")
        return self.tokens.pop(0)

    def next_is(self, value: str) -> bool:
        if self.tokens and self.tokens[0][1] == value:
            self.tokens.pop(0)
            return True
        return False

    def expect(self, value: str) -> None:
        if not self.next_is(value):
            raise BadQuery(f"{self.text!r}: {value!r} expected before {self.tokens[:1]}")

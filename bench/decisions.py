#!/usr/bin/env python3
"""What a decision costs, in units of reading one JSON body of 1 KB.

    python bench/decisions.py [--servers 500] [--rounds 7]

A fleet of `--servers` servers that hold five models between them, each a part of them, with a history: first-token
times, speeds, successes, some in flight, one in ten at rest. Measured are one *choice* (`Fleet.pick` as the plan of a
request calls it, for a model that 60 % hold, prompt and project different each time, nobody or three servers tried, and
for a request that needs tools),
one *fact* (`Fleet.apply` of the three facts of an attempt, per fact; and the rests that a failed one begins), and all
that the fleet does for one ordinary *request*: who holds the model, its plan, the choice, the plan's next moment, three
facts, its place in the model's line, the account of the attempt; with one server, with 20, and with `--servers`.

The unit is one body of 1 KB read by orjson, or by msgspec where orjson is not installed (the gateway itself has
msgspec). The body is a conversation of some turns; beside it stands the same for one long message, the cheapest JSON
there is for its size. CPU time counts, and the best of the rounds, in which unit and decision take turns: the one that
other work on the machine has disturbed least. Exits with 1 when a choice costs more than 10 units, a fact more than 3,
or a request more than 12 with one server and 25 with many. Needs no network.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from msgspec.structs import replace
from startup import machine

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.attempts import Clocks, Start, Wait
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, FirstToken, Listed, ListedModel, ServerSpec
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.group import affinity
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.fleet.twins import voice_of
from llm_gateway.upstream.drive import Drive
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.transport import Transport

try:
    import orjson
except ImportError:
    import msgspec

    UNIT, loads = "msgspec", msgspec.json.decode
else:
    UNIT, loads = "orjson", orjson.loads

MODELS = ("llama3.2:3b", "qwen2.5:7b", "mistral:7b", "llama3.3:70b", "phi4:14b")
SHARES = (0.6, 0.3, 0.2, 0.15, 0.12)
"""Of all servers, that hold the model."""
HISTORY = 30
"""Attempts that each holder of a model has behind it."""
TOGETHER = 2_000
"""Calls between two looks at the clock."""
EVERYBODY = frozenset(Trust)
ABLE = ("completion", "tools")


def body(turns: int) -> bytes:
    """A chat request of 1 KB as clients send it, after so many turns."""
    asked: dict[str, Any] = {"model": MODELS[0], "stream": True, "temperature": 0.7, "max_tokens": 256}
    asked["messages"] = messages = [
        {"role": "system", "content": "You are an assistant of a law firm. Answer shortly."}
    ]
    messages += [{"role": ("user", "assistant")[n % 2], "content": ""} for n in range(turns)]
    each, rest = divmod(1024 - len(json.dumps(asked)), turns)
    for n, message in enumerate(messages[1:]):
        message["content"] = ("What does the clause on page four mean for a tenant? " * 20)[: each + rest * (n == 0)]
    return json.dumps(asked).encode()


def fleet(
    servers: int, dice: random.Random, shares: Sequence[float] = SHARES, busy: float = 0.3
) -> tuple[Fleet, float]:
    """The fleet, and the time it has come to. `busy`: the share of models on servers with one attempt in flight."""
    made = Fleet(dice.random)
    specs, held = [], {}
    for n in range(servers):
        names = [name for name, share in zip(MODELS, shares, strict=True) if dice.random() < share] or [MODELS[-1]]
        held[f"id{n}"] = names
        specs.append(ServerSpec(f"id{n}", f"s{n}", f"http://10.0.{n // 250}.{n % 250}:11434", "ollama", Trust.PUBLIC))
    made.describe(specs)
    now = 1_000.0
    for spec in specs:
        models = tuple(ListedModel(name, f"{name}-digest", capabilities=ABLE) for name in held[spec.id])
        made.apply(Listed(spec.id, now, models, "0.33.0"))
    for spec in specs:
        speed = dice.lognormvariate(-0.7, 0.7)
        for name in held[spec.id]:
            for n in range(HISTORY):
                attempt(made, spec.id, name, now + n, speed * dice.uniform(0.8, 1.3), prompt(dice))
            if dice.random() < busy:
                made.apply(AttemptStarted(spec.id, name, now + HISTORY))
    now += HISTORY
    for spec in specs[::10]:
        made.apply(AttemptStarted(spec.id, held[spec.id][0], now))
        made.apply(AttemptEnded(spec.id, held[spec.id][0], now, FaultKind.REFUSED))
    return made, now + 0.5


def attempt(made: Fleet, server: str, model: str, now: float, wait: float, tokens: int) -> None:
    made.apply(AttemptStarted(server, model, now))
    made.apply(FirstToken(server, model, now + wait, wait, tokens))
    made.apply(AttemptEnded(server, model, now + wait + 3, tokens=120, seconds=3.0, prompt_tokens=tokens))


def prompt(dice: random.Random) -> int:
    """Tokens of a prompt, 400 in the middle, as the simulator has them."""
    return int(min(16_000, dice.lognormvariate(math.log(400), 1.0)))


def seconds(call: Callable[[int], object], times: int = TOGETHER) -> float:
    """CPU seconds of one call."""
    began = time.thread_time()
    for n in range(times):
        call(n)
    return (time.thread_time() - began) / times


def unit(payload: bytes) -> float:
    """Seconds that reading it once takes."""
    return min(seconds(lambda _: loads(payload)) for _ in range(3))


def asks(dice: random.Random, model: str) -> list[Ask]:
    return [
        Ask((model,), EVERYBODY, f"p{n % 5}", prompt(dice), 256, affinity(f"p{n % 5}", f"question {n}"))
        for n in range(TOGETHER)
    ]


def choices(
    made: Fleet, dice: random.Random, model: str, now: float, tried: int, *needs: str
) -> Callable[[int], object]:
    """A choice as the plan makes it: first of those that do not rest, and of all when none is left."""
    asked = [replace(ask, needs=frozenset(needs)) for ask in asks(dice, model)]
    keys = [candidate.key for candidate in made.shortlist((model,), EVERYBODY, now)[:tried]]
    excluded = set(keys)

    def choose(n: int) -> object:
        found = made.pick(asked[n], excluded, now + n * 1e-6, resting_too=False)
        assert isinstance(found, Candidate)
        return found

    return choose


def facts(made: Fleet, model: str, now: float) -> Callable[[int], object]:
    """The facts of answered attempts, three in a call, on servers that do not rest."""
    servers = [candidate.spec.id for candidate in made.shortlist((model,), EVERYBODY, now) if not candidate.resting]
    told = []
    for n in range(TOGETHER):
        server, at = servers[n % len(servers)], now + n * 1e-3
        told.append(
            (
                AttemptStarted(server, model, at),
                FirstToken(server, model, at + 0.4, 0.4, 300),
                AttemptEnded(server, model, at + 3.4, tokens=120, seconds=3.0, prompt_tokens=300),
            )
        )

    def tell(n: int) -> None:
        for fact in told[n]:
            made.apply(fact)

    return tell


def failures(made: Fleet, model: str, now: float) -> Callable[[int], object]:
    """An attempt that begins a rest and the answer that ends it: every one changes who may be asked."""
    servers = [candidate.spec.id for candidate in made.shortlist((model,), EVERYBODY, now)]
    told = []
    for n in range(TOGETHER):
        server, at = servers[n % len(servers)], now + n * 1e-3
        told.append(
            (
                AttemptStarted(server, model, at),
                AttemptEnded(server, model, at, FaultKind.REFUSED),
                AttemptStarted(server, model, at),
                AttemptEnded(server, model, at + 3, tokens=120, seconds=3.0, prompt_tokens=300),
            )
        )

    def tell(n: int) -> None:
        for fact in told[n]:
            made.apply(fact)

    return tell


def rested(made: Fleet, dice: random.Random, model: str, now: float) -> Callable[[int], object]:
    """A choice after a fact that changed who may be asked: what is remembered of that has to be found again."""
    choose = choices(made, dice, model, now, 0)
    fail = failures(made, model, now)

    def both(n: int) -> object:
        fail(n)
        return choose(n)

    return both


class Hands:
    """A clock that is set by hand."""

    def __init__(self, now: float) -> None:
        self.at = now

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


def request(made: Fleet, dice: random.Random, model: str, now: float) -> Callable[[int], object]:
    """All that the fleet does for one request whose first attempt answers."""
    asked, clock, guard = asks(dice, model), Hands(now), Guard()
    drive = Drive(made, Transport(guard, now=clock.now), guard, clock, Clocks())

    def serve(n: int) -> None:
        ask = asked[n]
        clock.at = now = clock.at + 1e-3
        assert made.holders(model) & ask.trust
        plan = drive.plan(ask)
        start = plan.next(now)
        assert isinstance(start, Start)
        candidate, tokens = start.candidate, ask.prompt_tokens
        server, name = candidate.spec.id, candidate.model
        told = plan.tries.began(candidate, now, None, race=plan.raced(candidate), underway=plan.underway)
        drive.holds(ask, 1)
        drive.apply(AttemptStarted(server, name, now))
        assert isinstance(plan.next(now), Wait)
        drive.apply(FirstToken(server, name, now, 0.4, tokens))
        plan.won(candidate)
        voice_of(made, candidate)
        plan.stall(candidate)
        told.end(now, None, complete=True)
        drive.holds(ask, -1)
        drive.apply(AttemptEnded(server, name, now, tokens=120, seconds=3.0, prompt_tokens=tokens))
        plan.tries.close(now, 120)

    return serve


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    payload, long = body(turns=7), body(turns=1)
    print(machine())
    print(f"unit: a conversation of {len(payload)} bytes read by {UNIT} {version(UNIT)}: {unit(payload) * 1e6:.2f} µs")
    print(f"(one long message of {len(long)} bytes: {unit(long) * 1e6:.2f} µs); {options.servers} servers")
    dice = random.Random(1)
    model = MODELS[0]
    made, now = fleet(options.servers, dice)
    later = now + 10.0
    churned, _ = fleet(options.servers, dice)
    cases: list[tuple[str, Callable[[int], object], int, float | None]] = [
        ("choice, nobody tried", choices(made, dice, model, now, 0), 1, 10.0),
        ("choice, three tried", choices(made, dice, model, now, 3), 1, 10.0),
        ("choice of who has tools", choices(made, dice, model, now, 0, "tools"), 1, 10.0),
        ("fact of an answer", facts(made, model, later), 3, 3.0),
        ("fact with rests", failures(churned, model, later), 4, 3.0),
        ("choice after a rest, and its 4 facts", rested(churned, dice, model, later + 10.0), 1, None),
    ]
    for servers, limit in ((1, 12.0), (20, 25.0), (options.servers, 25.0)):
        shares = SHARES if servers > len(MODELS) * 20 else (1.0,) * len(MODELS)
        asked, began = fleet(servers, dice, shares, busy=0.0)
        case = f"request, {servers} server{'s' if servers > 1 else ''}", request(asked, dice, model, began + 10.0)
        cases.append((*case, 1, limit))
    broken = 0
    for title, call, parts, limit in cases:
        seconds(call)  # warm
        took, units, long_units = [], [], []
        for _ in range(options.rounds):
            took.append(seconds(call) / parts)
            units.append(unit(payload))
            long_units.append(unit(long))
        cost, ratio = min(took), min(took) / min(units)
        verdict = "" if limit is None else f" (wanted ≤ {limit:g}) {'ok' if ratio <= limit else 'BROKEN'}"
        print(
            f"  {title:38} {cost * 1e6:8.2f} µs = {ratio:6.2f} units{verdict};"
            f" {cost / min(long_units):.1f} of one long message"
        )
        broken += limit is not None and ratio > limit
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

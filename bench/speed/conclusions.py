"""From what was measured to verdicts and tables. No measuring here: arithmetic that tests look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from report import Table, Verdict
from scenarios import Figures, why
from streams import Opened

MB, KB = 1e6, 1e3
AHEAD = {"litellm": (150.0, 230.0), "tensorzero": (2.5, 4.0), "smg": (2.0, 3.5)}
"""Peer -> how many times its capacity per core the gateway's is to be: floor, goal."""
NOTHING = "no round counts"


def of_scenario(figures: Figures) -> list[Verdict]:
    """The figure of the scenario itself."""
    scenario = figures.scenario
    if not scenario.figure or scenario.floor is None or scenario.goal is None:
        return []
    value = ratio(figures, "gateway", "nginx")
    return [
        Verdict(
            scenario.figure, scenario.title, value, "×", scenario.floor, scenario.goal, why="" if value else NOTHING
        )
    ]


def ratio(figures: Figures, of: str, to: str) -> float | None:
    """None where a subject has no good round."""
    try:
        return figures.ratio(of, to)
    except ValueError:
        return None


def of_peers(figures: Figures) -> list[Verdict]:
    """F3: requests that one CPU-second carries, as a multiple of the peer's."""
    found = []
    for peer, (floor, goal) in AHEAD.items():
        value = ratio(figures, peer, "gateway")
        why = "" if value else figures.absent.get(peer, NOTHING)
        what = f"requests per CPU-second against {peer}"
        found.append(Verdict("F3", what, value, "×", floor, goal, at_least=True, why=why))
    return found


def of_ledger(timed: Mapping[str, float], why: str) -> Verdict:
    """F8: what all calls but `all` take of it, in percent."""
    share = 100 * (sum(timed.values()) / timed["all"] - 1) if timed else None
    return Verdict("F8", "row, journal and log line, share of the event loop's CPU", share, "%", 25.0, 15.0, why=why)


def table_of_ledger(timed: Mapping[str, float]) -> Table:
    rows = [(name, f"{micros:.1f}", f"{100 * micros / timed['all']:.1f}") for name, micros in timed.items()]
    return Table("What is written down, per request", ("call", "µs of the event loop", "percent"), rows)


def table_of(figures: Figures) -> Table:
    scenario = figures.scenario
    head = (
        *("subject", f"CPU per {scenario.per}, µs", "of the main thread, µs", "× nginx", f"{scenario.per}s per s"),
        *("p50, µs", "added p50, µs", "chunk p99, ms", "bad"),
    )
    table = Table(f"{scenario.name}: {scenario.title}", head)
    for name, rounds in figures.rounds.items():
        bad = str(sum(each.told.bad for each in rounds))
        if not figures.good(name):
            table.rows.append((name, *[NOTHING] * 7, bad))
            continue
        measured = name != "direct"
        times = ratio(figures, name, "nginx") if measured else None
        table.rows.append(
            (
                name,
                f"{figures.cpu_per(name):,.2f}" if measured else "",
                f"{figures.main_per(name):,.2f}" if measured else "",
                f"{times:,.2f}" if times is not None else "",
                f"{figures.rate(name):,.0f}",
                f"{figures.p50(name):,.0f}",
                f"{figures.added(name):,.0f}" if scenario.latency and measured and figures.good("direct") else "",
                f"{figures.delay_p99(name) / 1000:,.2f}",
                bad,
            )
        )
    if figures.absent:
        table.note = "Absent: " + "; ".join(f"{name}: {why}" for name, why in figures.absent.items()) + "."
    return table


def of_streams(opened: Iterable[Opened], most: int) -> list[Verdict]:
    """F5 and F6, of the largest number of streams."""
    found = next((each for each in opened if each.subject == "gateway" and each.streams == most), None)
    memory = f"memory per open stream, {most:,} streams"
    late = f"{most:,} streams at 1 chunk/s on one core: chunk p99"
    if found is None or found.told.bad:
        lost = f"{found.told.bad:,} streams were not whole" if found else "it was not run"
        return [
            Verdict("F5", memory, None, "KB", 20.0, 12.0, why=lost),
            Verdict("F6", late, None, "ms", 50.0, 20.0, why=lost),
        ]
    return [
        Verdict("F5", memory, found.bytes_each / KB, "KB", 20.0, 12.0),
        Verdict("F6", late, found.told.delay_p99 / 1000, "ms", 50.0, 20.0),
    ]


def table_of_streams(opened: Sequence[Opened]) -> Table:
    head = (
        "subject",
        "streams",
        "KB each",
        "share of a core",
        "first chunk p99, ms",
        "chunk p50, ms",
        "chunk p99, ms",
        "lost",
    )
    table = Table("Open streams, one chunk a second", head)
    table.note = "Memory is the proportional set size: what the processes grew by, divided by the streams."
    for each in opened:
        direct = each.subject == "direct"
        table.rows.append(
            (
                each.subject,
                f"{each.streams:,}",
                "" if direct else f"{each.bytes_each / KB:.1f}",
                "" if direct else f"{each.core:.2f}",
                f"{each.told.first_p99 / 1000:.1f}",
                f"{each.told.delay_p50 / 1000:.2f}",
                f"{each.told.delay_p99 / 1000:.2f}",
                why(each.told) if each.told.bad else "0",
            )
        )
    return table


def of_workers(figures: Figures) -> list[Verdict]:
    """What two workers carry in comparison with one, when each has a core: 2 × CPU of one / CPU of two. One may be
    alone on the machine, or have a neighbour that it shares nothing with."""
    found = []
    for of, beside in (("two gateways", "which has a stranger beside it"), ("one worker", "which is alone")):
        value = ratio(figures, of, "two workers")
        what = f"what two workers carry, each with a core, against one {beside}"
        found.append(Verdict("two", what, 2 * value if value else None, "×", 1.8, 1.8, at_least=True, why=NOTHING))
    return found


def table_of_workers(figures: Figures) -> Table:
    table = Table(
        f"Two workers and one, PostgreSQL and Redis, {figures.scenario.connections} connections for each",
        ("subject", "CPU per request, µs", "of the main thread, µs", "requests per s", "p50, µs", "bad"),
        note="The load generators need a core as well, so requests per second say little where there are two cores.",
    )
    for name, rounds in figures.rounds.items():
        bad = str(sum(each.told.bad for each in rounds))
        if figures.good(name):
            cells = (figures.cpu_per(name), figures.main_per(name), figures.rate(name), figures.p50(name))
            table.rows.append((name, *(f"{cell:,.0f}" for cell in cells), bad))
        else:
            table.rows.append((name, *[NOTHING] * 4, bad))
    return table


def of_starts(seconds: float, megabytes: float) -> list[Verdict]:
    return [
        Verdict("F7", "start to first answer", seconds, "s", 3.0, 2.0),
        Verdict("F7", "memory at rest", megabytes, "MB", 110.0, 85.0),
    ]

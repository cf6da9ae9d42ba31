"""The arithmetic of `bench/speed`: medians and multiples, and which rounds count."""

from __future__ import annotations

import pytest
from conclusions import of_ledger, of_peers, of_scenario, of_streams, of_workers, table_of
from processes import Used
from report import Report, Table, Verdict
from rig import Told
from scenarios import SCENARIOS, Figures, Round
from streams import Opened
from workers import together

JSON = next(each for each in SCENARIOS if each.figure == "F1")
ALONE = next(each for each in SCENARIOS if each.latency)
PACED = next(each for each in SCENARIOS if each.per == "chunk")


def told(requests: int = 1000, chunks: int = 4000, bad: int = 0, p50: int = 100, delay_p99: int = 0) -> Told:
    wrong = {"cut": bad}
    return Told(requests, chunks, bad, wrong, "", 0, 2.0, 0.1, p50, p50, p50, p50, p50, p50, 0, delay_p99, delay_p99)


def rounds(*seconds: float, **fields: int) -> list[Round]:
    """Of so many seconds of CPU each, half of them in the main thread."""
    return [Round(told(**fields), each, each / 2) for each in seconds]


def test_cpu_is_the_median_of_the_rounds_by_request_or_chunk():
    assert Figures(JSON, {"nginx": rounds(0.3, 0.1, 0.2)}).cpu_per("nginx") == pytest.approx(200)
    assert Figures(PACED, {"nginx": rounds(0.3, 0.1, 0.2)}).cpu_per("nginx") == pytest.approx(50)


def test_the_gateways_figure_is_a_multiple_of_nginxs():
    figures = Figures(JSON, {"nginx": rounds(0.1), "gateway": rounds(0.45)})
    (verdict,) = of_scenario(figures)
    assert verdict.value == pytest.approx(4.5)
    assert (verdict.figure, verdict.floor, verdict.said) == ("F1", 5.0, "floor")


def test_a_round_with_a_bad_answer_does_not_count():
    figures = Figures(JSON, {"nginx": rounds(0.1), "gateway": [*rounds(0.1, bad=1), *rounds(0.9)]})
    assert figures.ratio("gateway") == pytest.approx(9)


def test_without_any_good_round_there_is_no_figure():
    figures = Figures(JSON, {"nginx": rounds(0.1), "gateway": rounds(0.1, 0.2, bad=1)})
    (verdict,) = of_scenario(figures)
    assert (verdict.value, verdict.said) == (None, "not measured")
    assert ("gateway", "2") in {(row[0], row[-1]) for row in table_of(figures).rows}


def test_added_latency_is_what_is_above_direct():
    figures = Figures(
        ALONE, {"direct": rounds(0.0, p50=20), "nginx": rounds(0.1, p50=60), "gateway": rounds(0.1, p50=140)}
    )
    assert figures.ratio("gateway") == pytest.approx(3)


def test_peers_are_compared_by_what_a_second_of_cpu_carries():
    figures = Figures(JSON, {"gateway": rounds(0.1), "litellm": rounds(20.0), "smg": rounds(0.15)})
    figures.absent["tensorzero"] = "it cannot be installed"
    found = {verdict.what.rpartition(" ")[2]: verdict for verdict in of_peers(figures)}
    assert (found["litellm"].value, found["litellm"].said) == (pytest.approx(200), "floor")
    assert (found["smg"].value, found["smg"].said) == (pytest.approx(1.5), "short")
    assert (found["tensorzero"].value, found["tensorzero"].why) == (None, "it cannot be installed")


def test_the_ledgers_share_is_that_of_its_calls_in_all():
    assert of_ledger({"opened": 2.0, "closed": 3.0, "all": 20.0}, "").value == pytest.approx(25)
    assert of_ledger({}, "it is gone").cells[2] == "it is gone"


def test_two_workers_carry_twice_what_their_requests_cost_less():
    sides = {"one worker": rounds(0.8), "two gateways": rounds(0.9), "two workers": rounds(1.0)}
    beside_a_stranger, alone = of_workers(Figures(JSON, sides))
    assert (beside_a_stranger.value, beside_a_stranger.said) == (pytest.approx(1.8), "goal")
    assert (alone.value, alone.said) == (pytest.approx(1.6), "short")


def test_what_load_generators_saw_at_the_same_time_is_added_up():
    seen = together([told(1000, p50=100), told(3000, bad=2, p50=300)])
    assert (seen.requests, seen.chunks, seen.bad, seen.wrong) == (4000, 8000, 2, {"cut": 2})
    assert (seen.elapsed, seen.latency_p50) == (2.0, 200)


def test_streams_of_which_one_was_bad_give_no_figure():
    good, bad = (Opened("gateway", 5000, told(bad=n, delay_p99=15_000), 11_000.0, 0.5) for n in (0, 1))
    assert [verdict.said for verdict in of_streams([good], 5000)] == ["goal", "goal"]
    assert [verdict.value for verdict in of_streams([good], 5000)] == pytest.approx([11.0, 15.0])
    assert [verdict.value for verdict in of_streams([bad], 5000)] == [None, None]


@pytest.mark.parametrize(
    ("value", "at_least", "said"),
    [
        (1.0, False, "goal"),
        (2.0, False, "goal"),
        (2.1, False, "floor"),
        (3.0, False, "floor"),
        (3.1, False, "short"),
        (3.0, True, "goal"),
        (2.9, True, "floor"),
        (2.0, True, "floor"),
        (1.9, True, "short"),
        (None, True, "not measured"),
    ],
)
def test_a_verdict_names_the_best_that_is_reached(value: float | None, at_least: bool, said: str):
    floor, goal = (2.0, 3.0) if at_least else (3.0, 2.0)
    assert Verdict("F1", "", value, "×", floor, goal, at_least).said == said


def test_the_report_is_a_table_that_bars_do_not_break():
    report = Report(["a machine"], [Verdict("F1", "a|b", 4.5, "×", 5.0, 3.2)], [Table("more", ("a",), [("1|2",)])])
    assert "| F1 | a/b | 4.50× | ≤ 5× | ≤ 3.2× | floor |" in report.markdown()
    assert "| 1/2 |" in report.markdown()


def test_cpu_is_summed_over_threads_new_ones_included():
    before = Used({(1, 1): 1_000_000_000, (1, 2): 500_000_000}, 150)
    after = Used({(1, 1): 1_250_000_000, (1, 2): 500_000_000, (1, 3): 50_000_000}, 180)
    assert after.since(before) == pytest.approx(0.3)
    assert after.main_since(before) == pytest.approx(0.25)


def test_a_thread_that_has_ended_is_counted_by_ticks():
    before = Used({(1, 1): 1_000_000_000, (1, 2): 500_000_000}, 150)
    assert Used({(1, 1): 1_250_000_000}, 190).since(before) == pytest.approx(0.4)

"""The page about metrics says what there is, and there is what it says."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from llm_gateway.observe.families import FAMILIES
from llm_gateway.observe.figures import Figures
from llm_gateway.observe.metrics import Metrics
from llm_gateway.observe.reference import PAGE, page

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_what_the_table_makes_of_it():
    assert (ROOT / PAGE).read_text() == page(), "run `python -m llm_gateway.observe.reference`"


def test_a_scrape_holds_every_family_of_the_table_and_no_other():
    metrics = Metrics("1")
    metrics.watch(Figures)
    scraped = {
        (found.name + "_total" * (found.type == "counter"), found.type, found.documentation)
        for found in text_string_to_metric_families(metrics.render().decode())
        if not found.name.startswith("process_")
    }
    assert scraped == {(family.name, family.kind, family.says) for family in FAMILIES}


def test_counters_say_so_and_seconds_are_seconds():
    for family in FAMILIES:
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert bool(family.buckets) == (family.kind == "histogram")
        assert family.says.endswith(".")

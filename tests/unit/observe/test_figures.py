from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families

from llm_gateway.access.policy import ApiKey, Caller, Project
from llm_gateway.observe.metrics import MAX_MODELS, Figures, Metrics
from llm_gateway.wire.neutral import Usage

LEGAL = Caller(
    Project(id="p1", name="legal"), ApiKey(id="k1", project_id="p1", name="ci", hash=b"", prefix="", last4="")
)


@dataclass
class Request:
    caller: Caller = LEGAL
    endpoint: str = "/v1/chat"
    model: str | None = "law-assistant"
    backend_model: str | None = "llama3.3:70b"
    status: int = 200
    error_code: str | None = None
    latency: float = 1.5
    ttft: float | None = 0.3
    usage: Usage | None = field(default_factory=lambda: Usage(input=10, output=20))
    servers: list[str] = field(default_factory=lambda: ["a"])


class Page:
    """What a scraper reads."""

    def __init__(self, metrics: Metrics) -> None:
        self.samples = [
            sample for family in text_string_to_metric_families(metrics.render().decode()) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def names(self) -> set[str]:
        return {sample.name for sample in self.samples}

    def values_of(self, label: str) -> set[str]:
        return {s.labels[label] for s in self.samples if label in s.labels}


def end(metrics: Metrics, request: Request) -> None:
    metrics.request_began()
    metrics.request_ended(request)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def test_requests_are_counted_by_project_endpoint_model_and_class_of_status(metrics: Metrics):
    for status in (200, 200, 502, 503, 499):
        end(metrics, Request(status=status))
    page = Page(metrics)
    labels = {"project": "legal", "endpoint": "/v1/chat", "model": "law-assistant"}
    assert page.value("llmgw_requests_total", **labels, status_class="2xx") == 2
    assert page.value("llmgw_requests_total", **labels, status_class="5xx") == 2
    assert page.value("llmgw_requests_total", **labels, status_class="4xx") == 1


def test_requests_in_flight_go_up_and_down(metrics: Metrics):
    metrics.request_began()
    metrics.request_began()
    metrics.request_ended(Request())
    assert Page(metrics).value("llmgw_inflight") == 1


def test_durations_and_first_tokens_are_those_of_the_client(metrics: Metrics):
    end(metrics, Request(latency=1.5, ttft=0.3))
    page = Page(metrics)
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_request_model": "law-assistant",
        "gen_ai_response_model": "llama3.3:70b",
        "llmgw_project": "legal",
    }
    assert page.value("gen_ai_server_request_duration_seconds_sum", **labels, error_type="") == 1.5
    assert page.value("gen_ai_server_request_duration_seconds_bucket", le="1.28") == 0
    assert page.value("gen_ai_server_request_duration_seconds_bucket", le="2.56") == 1
    assert page.value("gen_ai_server_request_duration_seconds_bucket", le="327.68") == 1
    assert page.value("gen_ai_server_time_to_first_token_seconds_sum", **labels) == 0.3


def test_a_request_without_content_has_no_first_token(metrics: Metrics):
    end(metrics, Request(status=503, error_code="no_healthy_upstream", backend_model=None, ttft=None, usage=None))
    page = Page(metrics)
    assert page.value("gen_ai_server_time_to_first_token_seconds_count") == 0
    assert page.value("gen_ai_client_token_usage_count") == 0
    assert page.value("gen_ai_server_request_duration_seconds_count", error_type="no_healthy_upstream") == 1


def test_only_tokens_that_a_server_counted_are_reported_as_usage(metrics: Metrics):
    end(metrics, Request(usage=Usage(input=10, output=20)))
    end(metrics, Request(usage=Usage(input=7, output=5, estimated=True)))
    page = Page(metrics)
    assert page.value("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 10
    assert page.value("gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 20
    assert page.value("llmgw_tokens_estimated_total", gen_ai_token_type="input") == 7
    assert page.value("llmgw_tokens_estimated_total", gen_ai_token_type="output") == 5


def test_a_name_that_a_client_made_up_never_becomes_a_label(metrics: Metrics):
    for status, code in ((404, "model_not_found"), (403, "no_permitted_upstream")):
        end(metrics, Request(model="my\nfantasy", backend_model=None, status=status, error_code=code, usage=None))
    end(metrics, Request(model=None, backend_model=None, status=400, error_code="invalid_json", usage=None))
    page = Page(metrics)
    assert page.value("llmgw_requests_total", model="unknown", status_class="4xx") == 3
    assert page.values_of("model") == {"unknown"}


def test_the_number_of_model_labels_is_bounded(metrics: Metrics):
    for i in range(MAX_MODELS + 50):
        end(metrics, Request(model=f"model-{i}", backend_model=None, usage=None, ttft=None))
    page = Page(metrics)
    assert page.value("llmgw_requests_total") == MAX_MODELS + 50
    assert page.value("llmgw_requests_total", model="other") == 50
    assert len(page.values_of("model")) == MAX_MODELS + 1


def test_attempts_failovers_and_refusals_are_counted(metrics: Metrics):
    metrics.attempt_ended("ok")
    metrics.attempt_ended("cut")
    metrics.failover("cut")
    metrics.rate_limited("legal", "max_concurrency")
    metrics.auth_failed()
    metrics.auth_failed()
    page = Page(metrics)
    assert page.value("llmgw_attempts_total", outcome="ok") == 1
    assert page.value("llmgw_failovers_total", reason="cut") == 1
    assert page.value("llmgw_rate_limited_total", project="legal", limit="max_concurrency") == 1
    assert page.value("llmgw_auth_failures_total") == 2


def test_what_the_fleet_spends_on_trouble_is_counted(metrics: Metrics):
    metrics.race("started")
    metrics.race("started")
    metrics.race("won")
    end(metrics, Request(servers=["a", "b", "a"]))
    end(metrics, Request(servers=[], status=400, error_code="invalid_request"))
    for code in ("queue_full", "queue_full", "queue_timeout", "retry_budget_exhausted", "no_healthy_upstream"):
        end(metrics, Request(servers=[], status=429, error_code=code))
    page = Page(metrics)
    assert [page.value("llmgw_races_total", result=result) for result in ("started", "won")] == [2, 1]
    assert page.value("llmgw_stream_resumed_total") == 2
    assert page.values_of("reason") == {"queue_full", "queue_timeout", "retry_budget_exhausted"}
    assert page.value("llmgw_shed_total", reason="queue_full") == 2


def test_what_is_looked_up_is_as_fresh_as_the_page(metrics: Metrics):
    now = Figures(
        servers={"healthy": 3, "resting": 1},
        healthy={"llama3.3:70b": 2},
        log_rows={"written": 5},
        log_queue=4,
        resting={("server", "refused"): 2, ("model", "cut"): 1},
        queue=7,
        tasks=9,
    )
    metrics.watch(lambda: now)
    page = Page(metrics)
    assert page.value("llmgw_servers", state="healthy") == 3
    assert page.value("llmgw_model_healthy_servers", model="llama3.3:70b") == 2
    assert page.value("llmgw_log_rows_total", result="written") == 5
    assert page.value("llmgw_log_queue_depth") == 4
    assert page.value("llmgw_queue_depth") == 7
    assert page.value("llmgw_resting", scope="server", fault="refused") == 2
    assert page.value("llmgw_resting", scope="model") == 1
    assert page.value("llmgw_tasks") == 9
    now = Figures(log_queue=9)
    assert Page(metrics).value("llmgw_log_queue_depth") == 9


def test_it_says_what_runs_and_how_the_process_is(metrics: Metrics):
    page = Page(metrics)
    assert page.value("llmgw_build_info", version="1.2.3") == 1
    assert page.value("process_resident_memory_bytes") > 1e6


def test_every_name_is_ours_or_a_convention(metrics: Metrics):
    metrics.watch(Figures)
    end(metrics, Request())
    names = Page(metrics).names()
    assert all(name.startswith(("llmgw_", "gen_ai_", "process_")) for name in names)
    assert not any(name.endswith("_created") for name in names)


def test_two_gateways_in_one_process_do_not_meet():
    one, other = Metrics("1"), Metrics("1")
    one.auth_failed()
    assert Page(other).value("llmgw_auth_failures_total") == 0


def test_a_hostile_project_name_cannot_forge_a_sample(metrics: Metrics):
    metrics.rate_limited('x"} 1\nllmgw_forged_total 1', "max_concurrency")
    assert "llmgw_forged_total" not in Page(metrics).names()

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from llm_gateway.access.policy import ApiKey, Caller, Project, Trust
from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.tries import Tries, Try
from llm_gateway.observe.figures import Figures
from llm_gateway.observe.labels import MAX_MODELS, MAX_PROJECTS, MAX_SERVERS, MAX_SETS
from llm_gateway.observe.metrics import Metrics
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
    id: UUID = field(default_factory=lambda: UUID(int=7))
    stream: bool = True
    outcome: str | None = "ok"
    finish_reason: str | None = "stop"
    began: float = 100.0
    cost: int = 0
    provider: str = "ollama"
    tries: list[Try] = field(default_factory=list)
    traceparent: str | None = None

    def moment(self, at: float) -> float:
        return 1_800_000_000.0 + at


def tries(*ends: tuple[float, Fault | None], server: str = "a", model: str = "m") -> Tries:
    """Attempts one after the other from second 100 on: (seconds, how it ended)."""
    account, now = Tries(), 100.0
    after = None
    for seconds, fault in ends:
        spec = ServerSpec(f"srv_{server}", server, "http://a.test", "ollama", Trust.OWN, "here")
        one = account.began(Candidate(spec, model), now, after, race=False, underway=False)
        now += seconds
        one.end(now, fault, complete=fault is None)
        after = fault.kind if fault else None
    return account


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


def test_attempts_are_counted_with_their_request_by_server_and_outcome(metrics: Metrics):
    account = tries((0.5, Fault(FaultKind.CUT)), (1.5, None))
    end(metrics, Request(tries=account.all))
    page = Page(metrics)
    assert page.value("llmgw_attempts_total", server="srv_a", tier="own", outcome="cut") == 1
    assert page.value("llmgw_attempts_total", outcome="ok") == 1
    assert page.value("llmgw_failovers_total", reason="cut") == 1
    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "ollama", "gen_ai_request_model": "m"}
    assert page.value("gen_ai_client_operation_duration_seconds_sum", **labels, error_type="") == 1.5
    assert page.value("gen_ai_client_operation_duration_seconds_sum", **labels, error_type="cut") == 0.5


def test_attempts_tell_of_their_first_content_and_of_the_pace_after_it(metrics: Metrics):
    account = tries((0.5, Fault(FaultKind.CUT)), (3.0, None))
    silent, spoke = account.all
    assert not silent.first_at
    spoke.first_at, spoke.given = spoke.began + 1.0, 5
    end(metrics, Request(tries=account.all))
    page = Page(metrics)
    for name, seconds in (("time_to_first_chunk", 1.0), ("time_per_output_chunk", 0.5)):
        assert page.value(f"gen_ai_client_operation_{name}_seconds_count") == 1
        assert page.value(f"gen_ai_client_operation_{name}_seconds_sum", gen_ai_request_model="m") == seconds


def test_an_error_is_absorbed_when_the_request_was_answered_all_the_same(metrics: Metrics):
    for outcome in ("ok", "error"):
        end(metrics, Request(outcome=outcome, tries=tries((1.0, Fault(FaultKind.CUT))).all))
    assert Page(metrics).value("llmgw_absorbed_errors_total", fault="cut") == 1


def test_a_race_is_counted_when_it_begins_and_when_it_is_won(metrics: Metrics):
    account = Tries()
    for first_at in (0.0, 101.0):
        one = account.began(tries((1.0, None)).all[0].candidate, 100.0, None, race=True, underway=False)
        one.first_at = first_at
        one.end(102.0, None)
    end(metrics, Request(tries=account.all))
    page = Page(metrics)
    assert [page.value("llmgw_races_total", result=result) for result in ("started", "won")] == [2, 1]


def test_tokens_that_no_client_got_are_wasted(metrics: Metrics):
    account = tries((1.0, Fault(FaultKind.CUT)), (1.0, None))
    account.all[0].tokens = 6
    end(metrics, Request(tries=account.all))
    assert Page(metrics).value("llmgw_tokens_wasted_total", outcome="cut") == 6


def test_overhead_is_the_time_of_an_answer_in_which_no_server_was_asked(metrics: Metrics):
    account = tries((0.5, Fault(FaultKind.CUT)), (1.0, None))
    end(metrics, Request(latency=1.75, tries=account.all))
    end(metrics, Request(latency=9.0, outcome="error", tries=[]))
    page = Page(metrics)
    assert page.value("llmgw_overhead_seconds_sum") == pytest.approx(0.25)
    assert page.value("llmgw_overhead_seconds_count") == 1


def test_the_time_of_a_token_is_known_of_answers_whose_tokens_were_counted(metrics: Metrics):
    end(metrics, Request(latency=1.5, ttft=0.5, usage=Usage(3, 11)))
    end(metrics, Request(latency=1.5, ttft=0.5, usage=Usage(3, 11, estimated=True)))
    page = Page(metrics)
    assert page.value("gen_ai_server_time_per_output_token_seconds_sum") == pytest.approx(0.1)
    assert page.value("gen_ai_server_time_per_output_token_seconds_count") == 1


@pytest.mark.parametrize(
    ("endpoint", "operation"),
    [("/v1/embeddings", "embeddings"), ("/v1/completions", "text_completion"), ("/api/chat", "chat")],
)
def test_an_endpoint_has_the_conventions_name_of_its_operation(metrics: Metrics, endpoint: str, operation: str):
    end(metrics, Request(endpoint=endpoint))
    assert Page(metrics).values_of("gen_ai_operation_name") == {operation}


def test_costs_are_in_the_unit_of_the_prices(metrics: Metrics):
    end(metrics, Request(cost=1_500_000_000))
    end(metrics, Request(cost=250_000_000))
    assert Page(metrics).value("llmgw_cost_total", project="legal") == 1.75


def test_changes_of_state_are_counted_but_not_the_first_sight(metrics: Metrics):
    metrics.server_states({"a": "healthy", "b": "unknown"})
    metrics.server_states({"a": "resting", "b": "unknown", "c": "healthy"})
    metrics.server_states({"a": "healthy", "c": "healthy"})
    page = Page(metrics)
    assert page.value("llmgw_server_state_changes_total") == 2
    assert page.value("llmgw_server_state_changes_total", state="resting") == 1


def test_refusals_before_a_row_are_counted(metrics: Metrics):
    metrics.rate_limited("legal", "max_concurrency")
    metrics.auth_failed()
    metrics.auth_failed()
    page = Page(metrics)
    assert page.value("llmgw_rate_limited_total", project="legal", limit="max_concurrency") == 1
    assert page.value("llmgw_auth_failures_total") == 2


def test_what_the_fleet_spends_on_trouble_is_counted(metrics: Metrics):
    end(metrics, Request(servers=["a", "b", "a"]))
    end(metrics, Request(servers=[], status=400, error_code="invalid_request"))
    for code in ("queue_full", "queue_full", "queue_timeout", "retry_budget_exhausted", "no_healthy_upstream"):
        end(metrics, Request(servers=[], status=429, error_code=code))
    page = Page(metrics)
    assert page.value("llmgw_stream_resumed_total") == 2
    assert page.values_of("reason") == {"queue_full", "queue_timeout", "retry_budget_exhausted"}
    assert page.value("llmgw_shed_total", reason="queue_full") == 2


def test_ten_thousand_projects_models_and_servers_make_few_series_and_right_sums(metrics: Metrics):
    many = 10_000
    for n in range(many):
        project = Project(id=f"p{n}", name=f"project-{n}")
        caller = Caller(project, ApiKey(id="k1", project_id=project.id, name="ci", hash=b"", prefix="", last4=""))
        account = tries((1.0, None), server=f"s{n}", model=f"held-{n}")
        end(metrics, Request(caller, model=f"asked-{n}", backend_model=f"held-{n}", tries=account.all, cost=1))
        metrics.rate_limited(f"project-{n}", "tokens_per_minute")
    metrics.watch(lambda: Figures(healthy={f"held-{n}": 1 for n in range(many)}))
    page = Page(metrics)
    assert page.value("llmgw_requests_total") == page.value("llmgw_attempts_total") == many
    assert page.value("gen_ai_client_operation_duration_seconds_count") == many
    assert page.value("llmgw_rate_limited_total") == many
    assert len(page.values_of("project")) <= MAX_PROJECTS + 1
    assert len(page.values_of("server")) <= MAX_SERVERS + 1
    assert len(page.values_of("gen_ai_request_model")) <= MAX_MODELS + 1
    series = Counter(sample.name for sample in page.samples if sample.labels.get("le", "+Inf") == "+Inf")
    assert max(series.values()) <= 2 * (MAX_SETS + MAX_MODELS)  # the two token types


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

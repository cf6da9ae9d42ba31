from pathlib import Path

import pytest

from llm_gateway.config.load import load
from llm_gateway.config.mistakes import ConfigMistakes


def test_without_anything_given_the_defaults_hold(loading):
    loaded = loading()
    assert loaded.settings.port == 8000
    assert str(loaded.settings.data_dir) == "/home/ana/.local/share/llm-gateway"
    assert loaded.document is None
    assert set(loaded.sources.values()) == {"default"}


def test_the_nearer_to_the_person_the_stronger(loading):
    steps = {
        "text": "port: 1\nhost: 127.0.0.2\n",
        "dotenv": "\n\nLLM_GATEWAY_PORT=2\n",
        "LLM_GATEWAY_PORT": "3",
        "flags": {"port": 4, "host": None},
    }
    found = []
    for count in range(len(steps) + 1):
        loaded = loading(**dict(list(steps.items())[:count]))
        found.append((loaded.settings.port, loaded.sources["port"]))
    assert found == [
        (8000, "default"),
        (1, "gateway.yaml:1:7"),
        (2, ".env:3"),
        (3, "environment LLM_GATEWAY_PORT"),
        (4, "--port"),
    ]
    assert loaded.settings.host == "127.0.0.2"


def test_groups_are_reached_with_two_underscores(loading):
    loaded = loading(LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED="false", dotenv="LLM_GATEWAY_TIMEOUTS__CONNECT=1.5")
    assert loaded.settings.sources.ollamafreeapi.enabled is False
    assert loaded.settings.sources.ollamafreeapi.trust == "public"
    assert loaded.settings.timeouts.connect == 1.5
    assert loaded.sources["timeouts.connect"] == ".env:1"


def test_the_config_file_may_be_named_by_a_variable(tmp_path):
    (tmp_path / "my.yaml").write_text("port: 9000")
    for environ, dotenv in (({"LLM_GATEWAY_CONFIG": "my.yaml"}, ""), ({}, "LLM_GATEWAY_CONFIG=my.yaml")):
        (tmp_path / ".env").write_text(dotenv)
        loaded = load({}, environ={"HOME": "/h", **environ}, cwd=tmp_path)
        assert (loaded.settings.port, loaded.config) == (9000, Path("my.yaml"))


def test_relative_paths_start_at_the_working_directory(loading, tmp_path):
    assert loading("data_dir: state").settings.data_dir == tmp_path / "state"
    assert loading(LLM_GATEWAY_DATA_DIR="/srv/llm").settings.data_dir == Path("/srv/llm")


def test_an_unknown_variable_is_a_mistake_with_the_name_that_was_meant(mistakes):
    assert mistakes(LLM_GATEWAY_PROT="9000", OTHER_PROT="1") == [
        "environment LLM_GATEWAY_PROT: unknown setting `LLM_GATEWAY_PROT`. Did you mean `LLM_GATEWAY_PORT`?"
    ]
    [nested] = mistakes(LLM_GATEWAY_SOURCES__OLAMAFREEAPI__ENABLED="false")
    assert nested.endswith("Did you mean `LLM_GATEWAY_SOURCES__OLLAMAFREEAPI__ENABLED`?")
    [group] = mistakes(LLM_GATEWAY_TIMEOUTS="5")
    assert "is a group of settings. Set LLM_GATEWAY_TIMEOUTS__BODY" in group


def test_dotenv_mistakes_have_their_line_and_other_peoples_lines_are_left_alone(mistakes):
    dotenv = "# mine\n\nFOO=bar\nBARE\nLLM_GATEWAY_HOTS=x\nexport LLM_GATEWAY_PORT='many'\nLLM_GATEWAY_HOST\n"
    assert mistakes(dotenv=dotenv) == [
        ".env:7: `LLM_GATEWAY_HOST` has no value.",
        ".env:5: unknown setting `LLM_GATEWAY_HOTS`. Did you mean `LLM_GATEWAY_HOST`?",
        ".env:6: `port` must be a whole number.",
    ]


def test_dollar_signs_in_dotenv_are_not_expanded(loading):
    token = "pa$HOME-${HOME}-and-more-of-it"
    assert loading(dotenv=f"LLM_GATEWAY_ADMIN_TOKEN={token}").settings.admin_token.get_secret_value() == token


def test_mistakes_of_all_origins_are_reported_together(mistakes):
    lines = mistakes(
        "prot: 1\ntimeouts: {conect: 1}\nport: no\n",
        dotenv="LLM_GATEWAY_LOG_LEVEL=loud",
        LLM_GATEWAY_PORT="-1",
        flags={"workers": 0, "host": "0.0.0.0"},
    )
    assert lines == [
        "gateway.yaml:1:1: unknown key `prot`. Did you mean `port`?",
        "gateway.yaml:2:12: unknown key `conect`. Did you mean `connect`?",
        "gateway.yaml:3:7: `port` must be a whole number. Numbers and true/false stand without quotes.",
        ".env:1: `log_level` must be debug or info or warning or error, not 'loud'.",
        "environment LLM_GATEWAY_PORT: `port` must be at least 0, not -1.",
        "--workers: `workers` must be at least 1, not 0.",
        "--host: listening on 0.0.0.0 would show the admin API to other machines, so `admin_token` must be set. "
        "Set LLM_GATEWAY_ADMIN_TOKEN, or listen on 127.0.0.1.",
    ]


def test_contradictions_stand_where_the_setting_was_given(mistakes):
    [line] = mistakes("workers: 2")
    assert line.startswith("gateway.yaml:1:10: several workers need PostgreSQL and Redis/Valkey")


@pytest.mark.parametrize("name", ["ADMIN_TOKEN", "DATABASE_URL", "ONLY_NETWORKS", "ADMIN_TOKEN_FILE"])
def test_an_empty_secret_or_fence_stops_the_start(mistakes, name):
    [line] = mistakes(**{f"LLM_GATEWAY_{name}": ""})
    assert "is empty" in line


def test_an_empty_secret_in_the_file_stops_the_start_too(mistakes):
    assert mistakes("admin_token:\nonly_networks: []\ndatabase_url: ''\n") == [
        "gateway.yaml:1:1: `admin_token` is empty. Remove it, or give it a value.",
        "gateway.yaml:2:1: `only_networks` is empty. Remove it, or give it a value.",
        "gateway.yaml:3:1: `database_url` is empty. Remove it, or give it a value.",
    ]


def test_other_empty_values_count_as_not_given(loading):
    loaded = loading("redis_url: ''", LLM_GATEWAY_PORT="", LLM_GATEWAY_PUBLIC_URL="")
    assert loaded.settings.port == 8000
    assert loaded.settings.redis_url is None


def test_secrets_may_be_in_files_of_their_own(loading, mistakes, tmp_path):
    (tmp_path / "token").write_text("t" * 24 + "\n")
    loaded = loading(LLM_GATEWAY_ADMIN_TOKEN_FILE="token")
    assert loaded.settings.admin_token.get_secret_value() == "t" * 24
    assert loaded.sources["admin_token"] == "environment LLM_GATEWAY_ADMIN_TOKEN_FILE"
    assert "cannot be read" in mistakes(LLM_GATEWAY_ADMIN_TOKEN_FILE="nowhere")[0]
    [twice] = mistakes(LLM_GATEWAY_ADMIN_TOKEN_FILE="token", LLM_GATEWAY_ADMIN_TOKEN="u" * 24)
    assert "LLM_GATEWAY_ADMIN_TOKEN is set as well" in twice
    [no_secret] = mistakes(LLM_GATEWAY_PORT_FILE="token")
    assert "unknown setting" in no_secret


def test_a_secret_never_appears_in_a_mistake(mistakes, tmp_path):
    (tmp_path / "token").write_text("hunter2")
    lines = mistakes(
        "database_url: mysql://u:hunter2@h/d\nadmin_token: [hunter2]\nredis_url: {hunter2: 1}\n",
        dotenv="LLM_GATEWAY_ADMIN_TOKEN=hunter2",
        LLM_GATEWAY_ADMIN_TOKEN_FILE="token",
        LLM_GATEWAY_REDIS_URL="hunter2",
    )
    assert len(lines) == 6
    assert "hunter2" not in "".join(lines)


def test_a_missing_config_file_is_one_line(tmp_path):
    with pytest.raises(ConfigMistakes) as caught:
        load({}, environ={"HOME": "/h"}, cwd=tmp_path, config=Path("nope.yaml"))
    assert caught.value.render() == "nope.yaml: there is no such file."


def test_a_flag_that_is_no_setting_is_a_mistake_of_the_program(loading):
    with pytest.raises(LookupError):
        loading(flags={"prot": 1})


def test_a_mistake_is_one_line_without_control_characters(mistakes):
    [line] = mistakes('"pr\\not\\e[31m": 1')
    assert line.isprintable()


def test_a_budget_of_costs_without_any_price_is_a_warning(loading):
    budget = "projects: [{name: a, monthly_cost: 5, keys: [{name: k, sha256: " + "ab" * 32 + ", daily_cost: 1}]}]\n"
    assert [str(w).partition(" is ")[0] for w in loading(budget).warnings] == [
        "gateway.yaml:1:22: `monthly_cost`",
        f"gateway.yaml:1:{budget.index('daily_cost') + 1}: `daily_cost`",
    ]
    priced = "models: [{name: fast, backend: [m], price: {input: 0.1}}]\n"
    assert not loading(priced + budget).warnings

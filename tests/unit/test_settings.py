import pytest
from pydantic import ValidationError

from llm_gateway.settings import Settings, contradictions, default_data_dir, is_loopback


def messages(**given):
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    return [error["msg"] for error in caught.value.errors()]


def test_the_defaults_serve_on_loopback_with_sqlite_in_the_data_directory(tmp_path):
    settings = Settings(data_dir=tmp_path)
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.database == f"sqlite:///{tmp_path}/gateway.db"
    assert (settings.timeouts.budget, settings.timeouts.total) == (30, 600)
    assert (settings.max_body, settings.max_body_with_images) == (4 * 2**20, 20 * 2**20)
    assert not list(contradictions(settings))


def test_the_data_directory_follows_the_xdg_specification():
    assert str(default_data_dir({"HOME": "/home/ana"})) == "/home/ana/.local/share/llm-gateway"
    assert str(default_data_dir({"HOME": "/home/ana", "XDG_DATA_HOME": "/data"})) == "/data/llm-gateway"
    assert str(default_data_dir({"HOME": "/home/ana", "XDG_DATA_HOME": "relative"})).startswith("/home/ana/")


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("10.0.0.0/8, ::1/128", ("10.0.0.0/8", "::1/128")),
        ('["127.0.0.0/8"]', ("127.0.0.0/8",)),
        ("127.0.0.1", ("127.0.0.1/32",)),
    ],
)
def test_networks_are_written_as_json_or_with_commas(text, networks):
    assert Settings(only_networks=text).only_networks == networks


def test_a_network_with_bits_behind_its_prefix_is_not_guessed_at():
    with pytest.raises(ValidationError) as caught:
        Settings(only_networks="10.1.0.0/8")
    assert "10.0.0.0/8" in caught.value.errors()[0]["ctx"]["hint"]


def test_a_fence_without_any_network_is_refused_rather_than_taken_for_no_fence():
    assert messages(only_networks="[]")
    assert Settings().only_networks is None


@pytest.mark.parametrize("token", ["", "short", "x" * 201, "ñ" * 30, " " * 30, "a" * 19, "tab\t" * 8])
def test_a_weak_or_unprintable_admin_token_stops_the_start(token):
    assert "20 to 200 printable ASCII characters" in messages(admin_token=token)[0]


def test_secrets_are_not_in_the_repr_nor_in_errors():
    shown = repr(Settings(admin_token="s3cret" * 5, database_url="postgresql://u:hunter2@h/d"))
    assert "s3cret" not in shown
    assert "hunter2" not in shown
    with pytest.raises(ValidationError) as caught:
        Settings(database_url="mysql://u:hunter2@h/d")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"port": 65_536},
        {"port": "http"},
        {"database_url": "mysql://x"},
        {"redis_url": "http://x"},
        {"public_url": "llm.example.org"},
        {"public_url": "https://user:pw@llm.example.org"},
        {"root_path": "llm"},
        {"root_path": "/a//b"},
        {"cors_origins": "https://a.example/path"},
        {"trusted_proxies": "proxy"},
        {"host": "http://0.0.0.0"},
        {"log_level": "loud"},
        {"timeouts": {"connect": 0}},
        {"timeouts": {"connect": "nan"}},
        {"max_body": 0},
        {"prot": 1},
        {"sources": {"ollamafreeapi": {"trust": "strangers"}}},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(given):
    assert messages(**given)


def test_paths_and_addresses_lose_the_slash_at_their_end():
    settings = Settings(root_path="/llm/", public_url="https://llm.example.org/")
    assert (settings.root_path, settings.public_url) == ("/llm", "https://llm.example.org")


def test_several_workers_on_sqlite_are_refused_with_the_reason():
    [found] = contradictions(Settings(workers=2))
    assert found.message.startswith("several workers need PostgreSQL and Redis/Valkey")


def test_several_workers_on_postgresql_need_redis():
    [found] = contradictions(Settings(workers=2, database_url="postgresql://h/d"))
    assert found.settings == ("redis_url",)
    assert not list(contradictions(Settings(workers=2, database_url="postgresql://h/d", redis_url="redis://h")))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "llm.example.org"])
def test_other_machines_are_let_in_only_with_an_admin_token(host):
    assert [c.settings for c in contradictions(Settings(host=host))] == [("host",)]
    assert not list(contradictions(Settings(host=host, admin_token="t" * 20)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_admin_token(host):
    assert is_loopback(host)
    assert not list(contradictions(Settings(host=host)))


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        Settings().port = 1

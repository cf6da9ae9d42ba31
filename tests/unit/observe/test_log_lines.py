from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from llm_gateway.access.keys import make_key
from llm_gateway.observe.logs import Format, setup

log = structlog.get_logger("llm_gateway.test")


class Stream(io.StringIO):
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    def last(self) -> dict[str, object]:
        found = json.loads(self.lines()[-1])
        assert isinstance(found, dict)
        return found


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def stream(format: Format = "json", level: str = "info") -> Stream:
    out = Stream()
    setup(level, format, out)
    return out


def test_a_line_is_one_json_object_with_its_fields():
    out = stream()
    log.info("request", project="legal", status=200, seconds=0.25, stream=True, server=None)
    line = out.last()
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "level": "info",
        "event": "request",
        "project": "legal",
        "status": 200,
        "seconds": 0.25,
        "stream": True,
        "server": None,
    }


def test_the_standard_librarys_loggers_end_in_the_same_stream():
    out = stream()
    logging.getLogger("uvicorn.error").warning("started on port %d", 8000)
    assert out.last()["event"] == "started on port 8000"
    assert out.last()["logger"] == "uvicorn.error"


def test_uvicorns_access_log_is_off_because_there_is_one_line_per_request():
    out = stream(level="debug")
    logging.getLogger("uvicorn.access").error('1.2.3.4 - "POST /v1/chat"')
    assert out.lines() == []


def test_lines_below_the_level_are_not_written():
    out = stream(level="warning")
    log.info("quiet")
    logging.getLogger("some.library").info("quiet")
    log.warning("loud")
    assert [json.loads(line)["event"] for line in out.lines()] == ["loud"]


def test_setting_up_again_moves_every_line_to_the_new_stream():
    first, second = stream(), stream()
    log.info("a")
    logging.getLogger("lib").warning("b")
    assert first.lines() == []
    assert len(second.lines()) == 2


@pytest.mark.parametrize("format", ["json", "pretty"])
def test_no_text_of_a_client_begins_a_line_of_its_own(format: Format):
    out = stream(format)
    log.info("request", model="x\n2026-01-01 [error] forged", user="a\r\nb\u2028c\x85d")
    logging.getLogger("lib").warning("of %s", "a\nb")
    assert len(out.lines()) == 2


@pytest.mark.parametrize("format", ["json", "pretty"])
@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b31m", "\x07", "\x00", "\x7f", "\u202e", "\ud800"])
def test_no_text_of_a_client_steers_a_terminal(format: Format, evil: str):
    out = stream(format)
    log.info(f"event {evil}", model=f"m{evil}", nested={"a": [evil]})
    assert evil not in out.getvalue()
    out.getvalue().encode()


def test_pretty_tracebacks_keep_their_lines_but_none_begins_at_the_margin():
    out = stream("pretty")
    try:
        raise ValueError("first\n2026-01-01 [error] forged\x1b[2J")
    except ValueError:
        log.exception("request_failed")
    first, *rest = out.lines()
    assert "request_failed" in first
    assert len(rest) > 3
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in out.getvalue()


def test_an_exception_is_one_json_line_with_its_traceback_and_no_local_variables():
    out = stream()
    local_password = "hunter2-of-the-frame"
    try:
        raise ValueError("wrong" + local_password[:0])
    except ValueError:
        log.exception("request_failed", request_id="r1")
    assert len(out.lines()) == 1
    assert "ValueError: wrong" in str(out.last()["exception"])
    assert "hunter2" not in out.getvalue()


KEY = make_key(os.urandom(32)).text


@pytest.mark.parametrize("format", ["json", "pretty"])
@pytest.mark.parametrize(
    ("fields", "secret"),
    [
        ({"text": f"my key is {KEY}!"}, KEY[6:]),
        ({"text": f"{KEY}"}, KEY[6:20]),
        ({"headers": {"Authorization": "Bearer s3cr3t-value"}}, "s3cr3t-value"),
        ({"headers": [{"x-api-key": "s3cr3t-value"}]}, "s3cr3t-value"),
        ({"head": "Authorization: Bearer s3cr3t-value"}, "s3cr3t-value"),
        ({"head": b"authorization: bearer s3cr3t-value"}, "s3cr3t-value"),
        ({"api_key": "s3cr3t-value"}, "s3cr3t-value"),
        ({"admin_token": "s3cr3t-value"}, "s3cr3t-value"),
        ({"password": "s3cr3t-value"}, "s3cr3t-value"),
        ({"client_secret": "s3cr3t-value"}, "s3cr3t-value"),
        ({"key": b"s3cr3t-value"}, "s3cr3t-value"),
        ({"url": "postgresql://gateway:s3cr3t-value@db/gw"}, "s3cr3t-value"),
        ({"url": "/v1/chat?api_key=s3cr3t-value&x=1"}, "s3cr3t-value"),
        ({"text": "{'password': 's3cr3t-value'}"}, "s3cr3t-value"),
        ({"deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": "s3cr3t-value"}}}}}}}}, "s3cr3t-value"),
    ],
    ids=str,
)
def test_secrets_are_not_logged(format: Format, fields: dict[str, object], secret: str):
    out = stream(format)
    log.info("event", **fields)
    assert len(out.lines()) == 1
    assert secret not in out.getvalue()


def test_secrets_are_not_logged_by_libraries_or_tracebacks_either():
    out = stream()
    logging.getLogger("lib").error("refused %s", KEY)
    try:
        raise ValueError(f"cannot use {KEY}")
    except ValueError:
        logging.getLogger("lib").exception("failed")
    assert len(out.lines()) == 2
    assert KEY[6:] not in out.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        {"key_id": "0198-abc"},
        {"tokens_output": 12},
        {"first_token": 0.25},
        {"max_tokens": "1500"},
        {"text": "max_tokens: 1500"},
        {"text": "the monkey: banana"},
        {"url": "http://127.0.0.1:11434/api/chat"},
    ],
    ids=str,
)
def test_what_is_no_secret_stays_readable(fields: dict[str, object]):
    out = stream()
    log.info("event", **fields)
    (name, value), *_ = fields.items()
    assert out.last()[name] == value


def test_numbers_that_are_not_json_are_written_as_text():
    out = stream()
    log.info("event", speed=float("nan"), wait=float("inf"))
    assert (out.last()["speed"], out.last()["wait"]) == ("nan", "inf")


def test_one_value_cannot_fill_the_disk():
    out = stream()
    log.info("event", text="x" * 1_000_000)
    assert len(out.getvalue()) < 20_000


def test_a_stream_that_is_gone_fails_no_request(capsys: pytest.CaptureFixture[str]):
    out = stream()
    out.close()
    log.info("event")
    logging.getLogger("lib").error("event")
    assert capsys.readouterr() == ("", "")


def test_auto_is_pretty_on_a_terminal_and_json_elsewhere():
    class Terminal(Stream):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    setup("info", "auto", terminal)
    log.info("event", project="legal")
    assert "project" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    plain = stream("auto")
    log.info("event")
    assert plain.last()["event"] == "event"

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.upstream.sources import CATALOGUES
from llm_gateway.upstream.sources.catalogue import Catalogue
from llm_gateway.upstream.sources.ollamafreeapi import MOST_PROBLEMS, read

# Documentation addresses (RFC 5737): nothing in these tests opens a connection.
ENTRY: dict[str, Any] = {
    "ip_port": "http://192.0.2.7:11434",
    "model_name": "llama3.2:3b",
    "model": "llama3.2:3b",
    "size": "2019393189",
    "digest": "A80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
    "family": "llama",
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
    "ip_country_iso_code": "NL",
    "perf_tokens_per_second": "13.01",
    "perf_status": "success",
}

NOW = 1_800_000_000.0
"""Unix seconds: in January 2027."""

PUBLIC_API = """
import json
from ollamafreeapi import OllamaFreeAPI
api = OllamaFreeAPI()
names = api.list_models()
print(json.dumps({
    "models": names,
    "servers": {name: api.get_model_servers(name) for name in names},
    "info": {name: api.get_model_info(name) for name in names},
}))
"""


@pytest.fixture(scope="module")
def public_api() -> Any:
    """What the package itself says, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", PUBLIC_API], capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def installed() -> Catalogue:
    return read(None, Trust.PUBLIC, NOW)


def catalogue_of(folder: Path, *files: Any) -> Catalogue:
    for number, content in enumerate(files):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / f"f{number}.json").write_bytes(raw)
    return read(folder, Trust.PUBLIC, NOW)


def pairs(catalogue: Catalogue) -> list[tuple[str, str]]:
    return sorted((spec.url, model.name) for spec in catalogue.specs for model in spec.models)


def test_the_installed_catalogue_equals_the_public_api_of_the_package(public_api: Any, installed: Catalogue) -> None:
    assert pairs(installed) == sorted(
        (server["url"], name) for name, servers in public_api["servers"].items() for server in servers
    )
    assert installed.entries == len(public_api["models"])


def test_the_measured_speeds_equal_those_of_the_public_api(public_api: Any, installed: Catalogue) -> None:
    theirs = {
        (server["url"], name): float(server["performance"]["tokens_per_second"])
        for name, servers in public_api["servers"].items()
        for server in servers
    }
    ours = {(s.url, m.name): m.tokens_per_second for s in installed.specs for m in s.models}
    assert ours == theirs


def test_the_details_of_each_model_equal_those_of_the_public_api(public_api: Any, installed: Catalogue) -> None:
    for spec in installed.specs:
        for model in spec.models:
            info = public_api["info"][model.name]
            assert (model.family, model.parameter_size, model.quantization, str(model.size)) == (
                info["family"],
                info["parameter_size"],
                info["quantization_level"],
                info["size"],
            )


def test_release_0_1_4_holds_16_entries_10_names_and_5_servers(installed: Catalogue) -> None:
    if installed.version != "0.1.4":
        pytest.skip(f"the installed release is {installed.version}")
    names = {model.name for spec in installed.specs for model in spec.models}
    assert (installed.entries, len(names), len(installed.specs), installed.problems) == (16, 10, 5, [])


def test_every_model_of_the_installed_catalogue_has_the_digest_that_the_package_drops(installed: Catalogue) -> None:
    assert all(len(model.digest or "") == 64 for spec in installed.specs for model in spec.models)


def test_reading_does_not_import_the_package() -> None:
    check = (
        "import sys; from pathlib import Path; from llm_gateway.access.policy import Trust;"
        "from llm_gateway.upstream.sources.ollamafreeapi import read;"
        "assert read(None, Trust.PUBLIC, 0.0).specs; assert 'ollamafreeapi' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_names_tell_the_country_and_never_the_address(installed: Catalogue) -> None:
    assert [spec.name for spec in installed.specs] == ["oll-de-1", "oll-de-2", "oll-nl-1", "oll-ru-1", "oll-us-1"]
    for spec in installed.specs:
        assert spec.id == ""
        assert (spec.kind, spec.source, spec.trust) == ("ollama", "ollamafreeapi", Trust.PUBLIC)


def test_the_trust_of_the_servers_is_the_setting(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([ENTRY]))
    assert [spec.trust for spec in read(tmp_path, Trust.PARTNER, NOW).specs] == [Trust.PARTNER]


def test_the_folder_of_a_newer_copy_of_the_package_may_be_named(installed: Catalogue) -> None:
    spec = importlib.util.find_spec("ollamafreeapi")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    assert read(package, Trust.PUBLIC, NOW) == installed
    assert read(package / "ollama_json", Trust.PUBLIC, NOW) == installed


@pytest.mark.parametrize(
    "wrap",
    [lambda m: m, lambda m: {"models": m}, lambda m: {"props": {"pageProps": {"models": m}}}],
    ids=["list", "models", "next.js page"],
)
def test_each_shape_that_the_package_accepts_is_read(tmp_path: Path, wrap: Any) -> None:
    found = catalogue_of(tmp_path, wrap([ENTRY]))
    (spec,) = found.specs
    (model,) = spec.models
    assert (spec.url, spec.country, model.name) == ("http://192.0.2.7:11434", "NL", "llama3.2:3b")
    assert model.digest == ENTRY["digest"].lower()
    assert (model.size, model.tokens_per_second) == (2019393189, 13.01)
    assert found.problems == []


@pytest.mark.parametrize(
    "broken",
    [b"", b"<html>", b'{"models": [', b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"null", b'"text"', b'{"models": 7}'],
    ids=["empty", "html", "cut", "utf-16", "deep", "huge number", "null", "text", "models is a number"],
)
def test_a_broken_file_is_a_problem_and_the_other_files_count(tmp_path: Path, broken: bytes) -> None:
    found = catalogue_of(tmp_path, broken, [ENTRY])
    assert pairs(found) == [("http://192.0.2.7:11434", "llama3.2:3b")]
    assert len(found.problems) == 1
    assert found.problems[0].startswith("f0.json ")


@pytest.mark.parametrize("props", [7, None, {"pageProps": 7}, {"pageProps": {}}])
def test_a_page_without_models_is_a_problem(tmp_path: Path, props: Any) -> None:
    assert catalogue_of(tmp_path, {"props": props}).problems == [
        "f0.json holds no list of models and was left out.",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ip_port": None}, "no server address (ip_port) for llama3.2:3b"),
        ({"ip_port": 7}, "no server address"),
        ({"ip_port": "ftp://192.0.2.7"}, "only http:// and https:// are allowed"),
        ({"ip_port": "file:///etc/passwd"}, "only http:// and https:// are allowed"),
        ({"ip_port": "http://"}, "the host is missing"),
        ({"ip_port": "http://192.0.2.7:99999"}, "not a number from 1 to 65535"),
        ({"ip_port": "http://192.0.2.7:22"}, "port 22 is not allowed"),
        ({"ip_port": "http://[::1"}, "expected something like http://host:11434"),
        ({"ip_port": "http://u:p@192.0.2.7"}, "user name or password"),
        ({"ip_port": "http://192.0.2.7/?x=1"}, "a query or a fragment"),
        ({"ip_port": "http://192.0.2.7/a b"}, "a blank, a backslash or a control character"),
        ({"ip_port": "http://192.0.2.7\r\nX: y"}, "a blank, a backslash or a control character"),
        ({"model_name": None, "model": "", "name": []}, "it names no model"),
        ({"model_name": "a\x1b[31mb"}, "it names no model"),
        ({"model_name": "a" * 500}, "it names no model"),
    ],
)
def test_an_unusable_entry_is_told_and_left_out(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    found = catalogue_of(tmp_path, [ENTRY | change, ENTRY | {"model_name": "kept"}])
    assert pairs(found) == [("http://192.0.2.7:11434", "kept")]
    assert len(found.problems) == 1
    assert found.problems[0].startswith("f0.json, entry 1: ")
    assert told in found.problems[0]


@pytest.mark.parametrize("entry", [None, 7, "text", []])
def test_an_entry_that_is_no_object_is_told(tmp_path: Path, entry: Any) -> None:
    assert catalogue_of(tmp_path, [entry]).problems == ["f0.json, entry 1: it is not an object."]


def test_an_entry_with_only_a_name_and_an_address_is_enough(tmp_path: Path) -> None:
    found = catalogue_of(tmp_path, [{"ip_port": "192.0.2.9:11434", "name": "m"}])
    (spec,) = found.specs
    assert (spec.url, spec.name, spec.country) == ("http://192.0.2.9:11434", "oll-zz-1", None)
    assert (spec.models[0].digest, spec.models[0].size, spec.models[0].tokens_per_second) == (None, None, None)
    assert found.problems == []


@pytest.mark.parametrize(
    "odd", [{"size": "big"}, {"size": -1}, {"size": True}, {"size": "1e999"}, {"size": "9" * 400}, {"size": [1]}]
)
def test_an_odd_size_is_left_out_of_the_model(tmp_path: Path, odd: dict[str, Any]) -> None:
    (spec,) = catalogue_of(tmp_path, [ENTRY | odd]).specs
    assert spec.models[0].size is None


def test_a_digest_that_is_none_is_told_and_the_model_kept_without_it(tmp_path: Path) -> None:
    found = catalogue_of(tmp_path, [ENTRY | {"digest": "abc"}])
    assert found.specs[0].models[0].digest is None
    assert "the digest of llama3.2:3b is not a SHA-256" in found.problems[0]


def test_a_digest_with_its_algorithm_before_it_is_read(tmp_path: Path) -> None:
    found = catalogue_of(tmp_path, [ENTRY | {"digest": "sha256:" + "0f" * 32}])
    assert found.specs[0].models[0].digest == "0f" * 32


def test_a_failed_measurement_is_no_prior(tmp_path: Path) -> None:
    (spec,) = catalogue_of(tmp_path, [ENTRY | {"perf_status": "error"}]).specs
    assert spec.models[0].tokens_per_second is None


def test_spellings_of_one_address_are_one_server_and_a_repeated_model_is_told(tmp_path: Path) -> None:
    found = catalogue_of(
        tmp_path,
        [
            ENTRY | {"ip_port": "http://models.example"},
            ENTRY | {"ip_port": "HTTP://Models.Example:80/", "model_name": "second"},
            ENTRY | {"ip_port": "models.example:80"},
        ],
    )
    assert pairs(found) == [("http://models.example", "llama3.2:3b"), ("http://models.example", "second")]
    assert (found.entries, len(found.specs)) == (2, 1)
    assert found.problems == [
        "f0.json, entry 3: llama3.2:3b is listed twice for the same server; the first one counts."
    ]


def test_other_spellings_of_a_number_are_the_same_server(tmp_path: Path) -> None:
    found = catalogue_of(tmp_path, [ENTRY, ENTRY | {"ip_port": "http://0xC0000207:11434", "model_name": "n"}])
    assert [spec.url for spec in found.specs] == ["http://192.0.2.7:11434"]


def test_names_do_not_depend_on_the_order_of_entries(tmp_path: Path) -> None:
    entries = [ENTRY | {"ip_port": f"http://192.0.2.{n}:11434"} for n in (3, 1, 2)]
    there = {spec.url: spec.name for spec in catalogue_of(tmp_path, entries).specs}
    assert {spec.url: spec.name for spec in catalogue_of(tmp_path, entries[::-1]).specs} == there
    assert sorted(there.values()) == ["oll-nl-1", "oll-nl-2", "oll-nl-3"]


def test_a_thousand_problems_are_counted_not_told(tmp_path: Path) -> None:
    problems = catalogue_of(tmp_path, [7] * 1000).problems
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[-1] == "… and 950 more problems."


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    found = read(tmp_path / "nowhere", Trust.PUBLIC, NOW)
    assert found.specs == []
    assert "cannot be read: No such file or directory" in found.problems[0]


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    found = read(tmp_path, Trust.PUBLIC, NOW)
    assert (found.specs, found.entries, found.version) == ([], 0, None)
    assert "holds no .json file" in found.problems[0]


def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    assert read(tmp_path, Trust.PUBLIC, NOW).problems[0] == "folder.json cannot be read: Is a directory."


def test_a_package_that_is_not_installed_is_a_problem(tmp_path: Path) -> None:
    check = (
        "import sys; sys.modules['ollamafreeapi'] = None;"
        "from llm_gateway.access.policy import Trust; from llm_gateway.upstream.sources.ollamafreeapi import read;"
        "found = read(None, Trust.PUBLIC, 0.0); assert not found.specs; print(found.problems[0])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True, timeout=60, text=True)
    assert "is not installed" in done.stdout


def test_the_list_of_catalogues_names_each_once() -> None:
    assert list(CATALOGUES) == ["ollamafreeapi"]


def test_a_server_was_last_seen_when_it_was_tested_or_got_a_model(tmp_path: Path) -> None:
    def told(port: int, **fields: Any) -> dict[str, Any]:
        return {**ENTRY, "ip_port": f"http://192.0.2.7:{port}", **fields}

    found = catalogue_of(
        tmp_path,
        [
            told(11431, perf_last_tested="2027-01-15T07:00:00.000Z", date_added="2025-08-07T04:26:17.687694735Z"),
            told(
                11432,
                perf_last_tested="2027-01-15T07:00:00.000Z",
                perf_status="error",
                date_added="2027-01-14T08:00:00Z",
            ),
            told(11433, perf_last_tested="yesterday"),
            told(11434, date_added="2030-01-01T00:00:00Z"),
        ],
    )
    assert found.problems == []
    assert [spec.seen_ago for spec in found.specs] == [3600.0, 86_400.0, None, 0.0]

import hashlib

import pytest
from example_config import EXAMPLE

from llm_gateway.access.policy import Trust
from llm_gateway.upstream.kinds import KINDS

PROJECT = "projects:\n  - name: legal\n"


def test_the_example_of_the_documentation_loads_as_it_stands(example):
    document, settings = example.document, example.settings
    assert settings.allow_private_upstreams == ("127.0.0.0/8",)
    lab, vllm = document.servers
    assert (lab.name, lab.kind, lab.trust, lab.max_concurrency) == ("lab", "ollama", Trust.OWN, 4)
    assert (vllm.url, vllm.api_key_env) == ("http://127.0.0.1:8001/v1", "VLLM_KEY")
    assert document.models[0].given_params() == {"temperature": 0.7}
    [legal] = document.projects
    assert (legal.trust, legal.rate_limit_per_minute) == ((Trust.OWN, Trust.PARTNER), 600)
    assert legal.allowed_models == ("law-assistant", "llama3.2:3b")
    assert legal.keys[0].value_env == "LEGAL_KEY"
    assert legal.models[0].backend == ("llama3.3:70b", "qwen2.5:32b")
    assert legal.models[0].given_params() == {"temperature": 0.2, "max_tokens": 1500}


def test_no_secret_is_in_the_repr_of_what_was_loaded(example, loading):
    assert "a-key-chosen" not in repr(example)
    hashed = loading(PROJECT + f"    keys: [{{name: k, sha256: {'ab' * 32}}}]\n")
    assert "abab" not in repr(hashed)


def test_a_project_sees_no_public_servers_unless_it_says_so(loading):
    [project] = loading(PROJECT).document.projects
    assert set(project.trust) == {Trust.OWN, Trust.PARTNER}


def test_a_key_may_be_given_by_its_hash_with_an_end(loading):
    digest = hashlib.sha256(b"x").hexdigest().upper()
    keys = f"    keys:\n      - {{name: k, sha256: {digest}, expires_at: 2027-01-31}}\n"
    [key] = loading(PROJECT + keys).document.projects[0].keys
    assert (key.sha256, key.expires_at) == (digest.lower(), 1801353600.0)
    later = keys.replace("2027-01-31", '"2027-01-31T01:00:00+01:00"')
    assert loading(PROJECT + later).document.projects[0].keys[0].expires_at == 1801353600.0


def test_variables_of_keys_may_be_in_dotenv(loading):
    loaded = loading(PROJECT + "    keys: [{name: k, value_env: K}]\n", dotenv=f"K={'k' * 20}\n")
    assert loaded.environ["K"] == "k" * 20


def test_lists_that_are_left_empty_are_empty(loading):
    assert loading("servers:\nprojects:\nmodels:\n").document.projects == ()


def test_a_logical_name_may_equal_a_physical_one(loading):
    loaded = loading("models: [{name: 'llama3.2:3b', backend: ['llama3.2:3b', 'llama3.1:8b']}]")
    assert loaded.document.models[0].name == "llama3.2:3b"


def test_a_backend_may_be_pinned_to_a_digest(loading):
    pinned = [f"llama3.3:70b@sha256:{'a' * 64}", f"llama3.3:70b@{'a' * 12}"]
    loaded = loading(f"models: [{{name: tested, backend: {pinned}}}]")
    assert loaded.document.models[0].backend == tuple(pinned)


def test_the_kinds_of_servers_are_those_that_exist(mistakes):
    [line] = mistakes("servers: [{name: a, url: 'http://8.8.8.8', kind: 42, trust: own}]")
    assert line.endswith(f"`kind` must be {' or '.join(KINDS)}, not '42'.")


def test_a_secret_of_the_gateway_itself_is_no_key_of_a_server(mistakes):
    server = "{name: a, url: 'http://8.8.8.8', kind: ollama, trust: own, api_key_env: LLM_GATEWAY_ADMIN_TOKEN}"
    [line] = mistakes(f"servers: [{server}]", LLM_GATEWAY_ADMIN_TOKEN="a" * 20)
    assert "`api_key_env` must not name a setting of the gateway" in line


TWENTY = """\
prot: 8000
log_level: verbos
timeouts: {conect: 2, total: -1, stall: "5"}
sources:
  ollamafreeapi: {enabled: yes, trust: publik}
servers:
  - {name: lab, url: "http://ana:hunter2@8.8.8.8:11434", kind: olama, trust: own, max_concurrency: -4}
  - {name: lab, url: "8.8.8.8:8001/v1", kind: openai, api_key_env: VLLM_KEY, trust: own}
  - {name: x, url: "http://127.0.0.1:8001/v1", kind: openai, api_key: sk-hunter2}
models:
  - {name: fast, backend: [], params: {temprature: 0.7, top_p: 7}}
  - {name: "a b", backend: llama3}
projects:
  - name: legal
    rate_limit_per_minute: -600
    max_concurrency: "50"
    trust: []
    keys:
      - {name: ci, value_env: SHORT}
      - {name: ci, value: hunter2}
      - {name: c2, sha256: hunter2}
      - {name: c3, value_env: llmgw_hunter2}
      - {name: c4, value_env: GONE, expires_at: 2027-13-01}
  - name: legal
    public_tools: on
    name: again
  - 17
"""

EXPECTED = """\
1:1 `prot`
2:12 `log_level`
3:12 `conect`
3:30 `total`
3:41 `stall`
5:28 `enabled`
5:40 `trust`
7:22 `url`
7:64 `kind`
7:100 `max_concurrency`
8:12 `name`
8:22 `url`
8:68 `api_key_env`
9:5 `trust`
9:20 `url`
9:62 `api_key`
11:27 `backend`
11:40 `temprature`
11:64 `top_p`
12:12 `name`
12:28 `backend`
15:28 `rate_limit_per_minute`
16:22 `max_concurrency`
17:12 `trust`
19:31 `value_env`
20:16 `name`
20:20 `value`
21:28 `sha256`
22:31 `value_env`
23:31 `value_env`
23:49 `expires_at`
24:11 `name`
25:19 `public_tools`
26:5 `name`
27:5 `projects[2]`
"""


def test_every_mistake_is_named_with_its_key_line_and_column_at_once(mistakes):
    lines = mistakes(TWENTY, SHORT="hunter2")
    found = []
    for line in lines:
        _, row, column, message = line.split(":", 3)
        found.append(f"{row}:{column} `{message.split('`')[1]}`")
    assert "\n".join(found) + "\n" == EXPECTED
    assert "hunter2" not in "\n".join(lines)


def test_hints_name_what_was_meant(mistakes):
    text = "\n".join(mistakes(TWENTY, SHORT="x"))
    for meant in ("port", "connect", "public", "ollama", "api_key_env", "temperature", "value_env"):
        assert f"Did you mean `{meant}`?" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("servers: {name: a}", "gateway.yaml:1:10: `servers` must be a list, not a mapping."),
        ("projects: [{description: x}]", "gateway.yaml:1:12: `name` is missing."),
        ("projects: [{name: 7}]", "`name` must be text, not a number. Put it in quotes if it is meant as text."),
        ("projects: [{name: ' a'}]", "`name` must be visible characters"),
        ("projects: [{name: a, rate_limit_per_minute: 0}]", "Leave it out for no limit."),
        ("projects: [{name: a, rate_limit_per_minute: 1.5}]", "must be a whole number, not a fraction."),
        ("projects: [{name: a, monthly_tokens: true}]", "must be a whole number, not true/false."),
        ("projects: [{name: a, keys: [{name: k}]}]", "must have either `value_env` or `sha256`"),
        ("projects: [{name: a, models: [{name: m, backend: [x]}, {name: m, backend: [y]}]}]", "is there twice"),
        ("models: [{name: m, backend: [x]}, {name: m, backend: [y]}]", "shared model 'm' is there twice"),
        ("models: [{name: m, backend: [x], params: {max_tokens: many}}]", "`max_tokens` must be a whole number"),
        ("models: [{name: m, backend: [x], params: {top_k: -1}}]", "`top_k` must be from 0"),
        (
            "models: [{name: m, backend: [x, 'y@sha256:12']}]",
            "`backend[1]` must end in the 12 to 64 hexadecimal digits",
        ),
        ("projects: [{name: a, allowed_models: ['y@sha256:']}]", "`allowed_models[0]` must end in the 12 to 64"),
        (
            "servers: [{name: a, url: 'http://8.8.8.8', kind: ollama, trust: own, models: ['y@0123456789ab']}]",
            "`models[0]` must be a name without a digest. A server lists its digests itself",
        ),
        ("models: [{name: m, backend: [x], params: 7}]", "`params` must be a mapping of names to values"),
        ("servers: [{name: a, url: 'http://10.0.0.1', kind: ollama, trust: own}]", "allow_private_upstreams"),
        ("servers: [{name: a, url: 'http://8.8.8.8/v1', kind: ollama, trust: own}]", "say `kind: openai`"),
        ("servers: [{name: a, url: 'http://8.8.8.8', kind: ollama}]", "`trust` is missing. Whose machine it is"),
        ("timeouts: 5", "`timeouts` must be a mapping of names to values. Possible in it: body, connect"),
        ("allow_private_upstreams: [everything]", "`allow_private_upstreams[0]` must be a network"),
    ],
)
def test_a_mistake_says_what_would_be_right(mistakes, text, said):
    lines = mistakes(text)
    assert len(lines) == 1
    assert said in lines[0]


def test_one_address_is_one_server_however_it_is_spelled(mistakes):
    text = """\
servers:
  - {name: a, url: "http://EXAMPLE.org:80/", kind: ollama, trust: own}
  - {name: b, url: "http://example.org", kind: ollama, trust: own}
"""
    assert mistakes(text) == [
        "gateway.yaml:3:20: `url`: server address 'http://example.org' is there twice; the first time in line 2."
    ]


def test_a_wrong_list_of_networks_does_not_make_every_private_address_wrong(mistakes):
    lines = mistakes(EXAMPLE.replace("127.0.0.0/8", "127.0.0.1/8"), VLLM_KEY="v", LEGAL_KEY="k" * 20)
    assert lines == [
        "gateway.yaml:3:27: `allow_private_upstreams[0]` has bits set behind its prefix. Did you mean `127.0.0.0/8`?"
    ]


def test_one_key_cannot_stand_for_two_projects(mistakes):
    text = "projects:\n" + "".join(f"  - {{name: {n}, keys: [{{name: k, value_env: {n}}}]}}\n" for n in ("A", "B"))
    assert mistakes(text, A="k" * 20, B="k" * 20) == [
        "gateway.yaml:3:43: `value_env`: the same key is at gateway.yaml:2:43. Give each its own."
    ]


def test_what_yaml_refuses_is_reported_beside_other_origins(mistakes):
    lines = mistakes("a: b: c", LLM_GATEWAY_PORT="x")
    assert [line.split(":")[0] for line in lines] == ["gateway.yaml", "environment LLM_GATEWAY_PORT"]


def test_a_pattern_that_cannot_be_used_is_told_with_its_line(mistakes):
    [line] = mistakes(PROJECT + "    redact:\n      - 'fine-\\d+'\n      - '(a{500}){500}'\n")
    assert line.startswith("gateway.yaml:5:9: `redact[1]` must not repeat more than 1000 times")

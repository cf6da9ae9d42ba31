"""The way that people know from before there was `./run`: pip, alembic, uvicorn, each typed by hand."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from places import answers, copy_of_repository, environment, staying, typed

from llm_gateway.storage.upgrade import HEAD
from support.net import free_port

pytestmark = pytest.mark.slow
PREPARE = """
pip install -r requirements.txt && pip install --no-deps .
cp .env.example .env
alembic upgrade head
"""
SERVE = "uvicorn llm_gateway.main:app"


def test_pip_alembic_and_uvicorn_are_enough(tmp_path: Path) -> None:
    checkout = copy_of_repository(tmp_path / "checkout")
    own = environment(tmp_path / "own", pip=True)
    port, data_dir = free_port(), tmp_path / "data"
    typist = own.entered | {"LLM_GATEWAY_DATA_DIR": str(data_dir), "UVICORN_PORT": str(port)}

    typed(["bash", "-euc", PREPARE], checkout, typist)
    (database,) = data_dir.glob("*.db")
    with closing(sqlite3.connect(database)) as made:
        assert made.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]

    with staying(SERVE.split(), checkout, typist) as process:
        health = json.loads(answers(f"http://127.0.0.1:{port}/v1/health", process, checkout / "output"))
    assert health["database"] == "ok"
    assert [file.name for file in data_dir.glob("*.db")] == [database.name]
    assert process.returncode == 0

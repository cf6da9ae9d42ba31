"""The admin token that the first start makes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from llm_gateway.errors import InvalidRequest
from llm_gateway.first_run import ADMIN_TOKEN, admin_token
from llm_gateway.settings import CREDENTIAL, Settings


def test_a_token_is_made_once_for_its_owners_eyes(tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    token, file = admin_token(settings)
    assert CREDENTIAL.fullmatch(token)
    assert file == tmp_path / ADMIN_TOKEN
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert admin_token(settings) == (token, file)


@pytest.mark.parametrize("text", [b"", b"\n", b"short\n", b"\xff" * 40, b"two lines of a token\nare one too many\n"])
def test_a_file_without_a_token_opens_nothing_and_is_named(tmp_path: Path, text: bytes):
    (tmp_path / ADMIN_TOKEN).write_bytes(text)
    with pytest.raises(InvalidRequest) as caught:
        admin_token(Settings(data_dir=tmp_path))
    assert str(tmp_path / ADMIN_TOKEN) in caught.value.message
    assert "Remove it" in caught.value.message

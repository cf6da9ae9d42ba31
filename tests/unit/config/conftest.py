from pathlib import Path

import pytest
from example_config import EXAMPLE, LEGAL_KEY

from llm_gateway.config.load import ConfigMistakes, load


@pytest.fixture
def loading(tmp_path):
    """Loads a config file given as text, in an empty directory."""

    def run(text=None, *, flags=None, dotenv=None, **environ):
        config = None
        if text is not None:
            config = Path("gateway.yaml")
            (tmp_path / config).write_text(text)
        if dotenv is not None:
            (tmp_path / ".env").write_text(dotenv)
        return load(flags or {}, environ={"HOME": "/home/ana", **environ}, cwd=tmp_path, config=config)

    return run


@pytest.fixture
def mistakes(loading):
    """The lines that are said about a configuration."""

    def run(*args, **kwargs):
        with pytest.raises(ConfigMistakes) as caught:
            loading(*args, **kwargs)
        return caught.value.render().splitlines()

    return run


@pytest.fixture
def example(loading):
    return loading(EXAMPLE, VLLM_KEY="key-of-vllm", LEGAL_KEY=LEGAL_KEY)

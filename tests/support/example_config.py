"""The config file of the documentation, word for word, and a key for the variable that it names."""

from pathlib import Path

EXAMPLE = (Path(__file__).parent / "example_config.yaml").read_text()
LEGAL_KEY = "a-key-chosen-by-the-team-0001"

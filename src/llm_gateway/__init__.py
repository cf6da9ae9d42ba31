"""A gateway for teams that live on unreliable model servers."""

__version__ = "0.1.0"

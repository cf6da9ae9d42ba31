"""Fixtures of what several processes share: a real Redis of the test's own."""

from support.redises import redis_server

__all__ = ["redis_server"]

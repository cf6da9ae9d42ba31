from support.command import command
from support.redises import redis_server

__all__ = ["command", "redis_server"]

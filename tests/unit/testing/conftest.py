from support.rogues import rogue  # noqa: F401 - a fixture: importing it is what makes it known here

"""Fakes that are shipped: model servers that misbehave on purpose, and the demo fleet made of them."""

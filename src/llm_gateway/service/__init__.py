"""What the gateway does for a caller, without a word of HTTP."""

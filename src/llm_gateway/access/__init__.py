"""Who is asking, and how much they may ask: pure rules over a snapshot of the configuration."""

"""What the gateway tells about itself: log lines and figures. A leaf: it knows nothing of the parts that use it."""

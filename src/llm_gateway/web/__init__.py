"""The HTTP edge: routes, headers, error rendering. The product itself is in `service`."""

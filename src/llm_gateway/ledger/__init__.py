"""One row per request: `entry` fills it, `shipper` brings it to the database."""

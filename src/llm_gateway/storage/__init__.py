"""What is kept: the configuration and the request log, in SQLite or PostgreSQL.

    engine      a URL -> connections that behave alike on both databases
    sessions    transactions; drivers' errors become ours
    upgrade     brings the schema to this version's, under a lock
    tables      the schema;  `columns` its types;  `migrations` its history
    arrivals    the log in the order in which rows arrive
    rollups     what rows add to the sums that `usage` reads;  `audit` compares the two;  `bulk` brings many rows in
    admins      who may use the admin API;  `logins` who does now;  `trail` what they changed
    snapshot    the whole configuration at once, and the version that says when it moved
    projects, keys, exposures, servers, requests, usage
                the queries by topic: session in, plain objects out; who opened the session commits

No request of a client waits for anything in here.
"""

"""TensorZero's embedded gateway as a server: prints its address, ends with its standard input."""

import sys

from tensorzero.tensorzero import _start_http_gateway

served = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(served.base_url, flush=True)
sys.stdin.read()

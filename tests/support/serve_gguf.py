"""Serves one GGUF file with the real llama.cpp HTTP server. Run as a program, by `support.llama`.

    python serve_gguf.py MODEL.gguf ALIAS SLOTS CONTEXT PORT words|vectors

Prints its address, then serves until its standard input ends: it cannot outlive the test run that started it.
"""

from __future__ import annotations

import os
import sys

import xllamacpp


def main(path: str, alias: str, slots: int, context: int, port: int, gives: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {alias}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = context
    params.n_parallel = slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = slots + 4  # each stream keeps one; /health must still get through
    params.warmup = False
    params.ui = False
    if gives == "vectors":
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # the server's threads know no other end


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])

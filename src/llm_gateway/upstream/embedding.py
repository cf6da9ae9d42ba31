"""Vectors, by the same attempts as any answer: what a server is asked for, and who reads what it gives."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from llm_gateway.fleet.candidate import Candidate
from llm_gateway.upstream.attempt import Asking, Work
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.wire.collect import estimate_tokens


@dataclass(slots=True)
class Embedding(Work):
    """`request` has `inputs`. An attempt's stream gives one event, `Vectors`; a body that does not hold good ones is a
    fault of the attempt, and the next server is asked."""

    @property
    def prompt_tokens(self) -> int:
        """Of the longest text: each is read by itself."""
        inputs = self.request.inputs
        assert inputs is not None
        return max(map(estimate_tokens, inputs.texts), default=0)

    async def asking(self, candidate: Candidate) -> Asking:
        kind, inputs = KINDS[candidate.spec.kind], self.request.inputs
        assert inputs is not None
        vectors = kind.dialect.vectors
        body = vectors.write_upstream(self.request, candidate.model, self.params_for(candidate))
        return Asking(kind.vector_path, body, vectors.reader(inputs), max_body=sys.maxsize)  # the reader counts

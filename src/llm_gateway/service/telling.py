"""What the client of a stream is told, and what of it is kept: `service.chat` has one for each.

Its `give` runs for each chunk within the call that brings the chunk from the server: nothing in it may wait.
"""

from __future__ import annotations

from collections.abc import Iterable

from llm_gateway.ledger.transcript import Transcript
from llm_gateway.service.call import Call
from llm_gateway.wire.collect import Collector
from llm_gateway.wire.neutral import Event, Piece, StreamWriter


class Telling:
    """Events of one answer -> the client's bytes. `form` and `kept` see all of them, too."""

    __slots__ = ("_call", "_form", "_kept", "_writer")

    def __init__(self, call: Call, writer: StreamWriter, form: Collector | None, kept: Transcript | None) -> None:
        self._call = call
        self._writer = writer
        self._form = form
        self._kept = kept

    def say(self, events: Iterable[Event]) -> bytes:
        """What the client is to be sent of them; of a finish nothing, which says more than is known here."""
        said = []
        for event in events:
            self._keep(event)
            if type(event) is Piece:
                said.append(self._writer.piece(event))
        return b"".join(said)

    def give(self, piece: Piece, now: float) -> bool:
        """Sends it at once; as `Call.put`."""
        if self._form is not None or self._kept is not None:
            self._keep(piece)
        return self._call.put(self._writer.piece(piece), now)

    def _keep(self, event: Event) -> None:
        if self._form is not None:
            self._form.add(event)
        if self._kept is not None:
            self._kept.add(event)

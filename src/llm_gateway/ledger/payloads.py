"""Prompts and answers of projects that keep them: redacted, then written to the journal.

Best effort, by design: a crash, a full disk or a full queue may lose what was said, never a row of the log. Nothing
reaches the disk before it was redacted, and what cannot be redacted in time is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, NamedTuple

import structlog

from llm_gateway.access.policy import Project
from llm_gateway.access.redact import Redactor, TookTooLong
from llm_gateway.clock import Clock
from llm_gateway.ledger.entry import Entry
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.transcript import Transcript

MOST_WAITING: Final = 256
MOST_BYTES: Final = 64 * 2**20
"""Of bodies and answers that wait to be redacted."""
DAY: Final = 86_400.0

log = structlog.get_logger(__name__)


class _Job(NamedTuple):
    entry: Entry
    transcript: Transcript
    size: int


class Payloads:
    """`put` never waits; `run` is one task, which ends with what waits written when it is stopped."""

    def __init__(self, ledger: Ledger, clock: Clock, days: float) -> None:
        """`days`: for how long payloads are kept where a project does not say."""
        self.days = days
        self.kept = 0
        self.dropped = 0
        """Payloads that were lost: too many at once, or not redacted in time."""
        self._ledger = ledger
        self._clock = clock
        self._jobs: deque[_Job] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._told: set[str] = set()
        """Projects whose patterns were complained of."""

    def put(self, entry: Entry, transcript: Transcript) -> None:
        """The request has ended and its row is written."""
        size = transcript.size()
        if len(self._jobs) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            self._drop(entry.caller.project, "too many requests at once")
            return
        self._jobs.append(_Job(entry, transcript, size))
        self._bytes += size
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            while self._jobs:
                job = self._jobs.popleft()
                await self._keep(job)
                self._bytes -= job.size
            if self._stopping:
                return
            await self._wake.wait()

    async def stop(self, task: asyncio.Task[None], grace: float = 5.0) -> None:
        """Redacts and writes what waits, then ends `task`."""
        self._stopping = True
        self._wake.set()
        await asyncio.wait((task,), timeout=grace)
        task.cancel()
        await asyncio.wait((task,))

    async def _keep(self, job: _Job) -> None:
        entry = job.entry
        project = entry.caller.project
        try:
            said = await asyncio.to_thread(redacted, job.transcript, project.redact, self._clock)
        except TookTooLong as error:
            self._drop(project, str(error))
            return
        except Exception:  # the outermost edge: what one client sent must not end the task
            log.exception("payload_dropped", project=project.name, request_id=str(entry.id))
            self.dropped += 1
            return
        days = self.days if project.payload_days is None else project.payload_days
        row = {
            "request_id": str(entry.id),
            "project_id": project.id,
            "timestamp": entry.timestamp,
            "expires_at": entry.timestamp + days * DAY,
            "end_user": entry.end_user,
        }
        if self._ledger.kept(entry.id, row | said):
            self.kept += 1
        else:
            self._drop(project, "the journal has no room")

    def _drop(self, project: Project, why: str) -> None:
        self.dropped += 1
        if project.id not in self._told:
            self._told.add(project.id)
            log.warning("payload_dropped", project=project.name, why=why, more="further ones are counted only")


def redacted(transcript: Transcript, patterns: tuple[str, ...], clock: Clock) -> dict[str, Any]:
    """What is kept. Heavy; safe in any thread, for nobody changes the transcript any more. Raises TookTooLong."""
    redactor = Redactor(patterns, clock.now)
    request, response = redactor.document(transcript.request()), redactor.document(transcript.response())
    return {"request": request, "response": response, "redactions": redactor.redactions, "cut": redactor.cut}

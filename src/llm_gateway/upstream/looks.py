"""The questions that servers are asked of our own accord, one method each: its version, its list, what it has in
memory, what a model is able to, and a few words of an answer. What is no answer is a Fault, whichever question it was.
"""

from __future__ import annotations

from typing import Final

from llm_gateway import __version__
from llm_gateway.access.policy import Trust
from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind, InvalidRequest
from llm_gateway.fleet.facts import ListedModel, ServerSpec
from llm_gateway.names import canonical
from llm_gateway.upstream.guard import Guard, Origin
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.kinds.kind import MOST_MODELS, MOST_OF_STRANGERS, Kind
from llm_gateway.upstream.transport import Response, Transport
from llm_gateway.wire.faults import fault_of
from llm_gateway.wire.models import ModelShow
from llm_gateway.wire.neutral import ChatRequest, Message, Piece

LARGEST_LIST: Final = 2**20
"""Bytes of a model list."""
LARGEST_SHOW: Final = 2**20
"""Bytes of what is shown of one model: its licence, template and tensors are in it."""
LARGEST_VERSION: Final = 4096
"""Bytes of a version answer."""
LARGEST_ANSWER: Final = 2**18
"""Bytes of an answer of a few words, and of an error in its place."""
ANSWER_TAKES: Final = 90.0
"""Seconds for such an answer: its model may have to be loaded first."""


class TurnedAway(Fault):
    """The server answered 403 or 429: it does not want to be asked."""


class Looks:
    """Asks; knows neither schedule nor fleet. All methods raise Fault for what is no answer."""

    def __init__(self, transport: Transport, guard: Guard, clock: Clock, timeout: float = 5.0) -> None:
        """`timeout`: seconds of one question, except those for an answer."""
        self._transport = transport
        self._guard = guard
        self._clock = clock
        self._timeout = timeout

    async def models(self, spec: ServerSpec) -> tuple[tuple[ListedModel, ...], int]:
        """What it holds, and the size of that list in bytes."""
        kind = KINDS[spec.kind]
        status, body = await self._get(spec, kind, kind.list_path, LARGEST_LIST)
        if status == 200:
            most = MOST_OF_STRANGERS if spec.trust is Trust.PUBLIC else MOST_MODELS
            return kind.read_list(body, most), len(body)
        if status in (404, 405, 501) and kind.may_lack_list and spec.models:
            return spec.models, 0  # it answers, and its owner said what it holds
        raise Fault(FaultKind.NOT_THE_PROTOCOL, f"status {status} to {kind.list_path}")

    async def version(self, spec: ServerSpec) -> str | None:
        """None: it keeps that to itself, or says it in a way that nobody can read."""
        kind = KINDS[spec.kind]
        if kind.version_path is None:
            return None
        status, body = await self._get(spec, kind, kind.version_path, LARGEST_VERSION)
        return kind.read_version(body) if status == 200 else None

    async def memory(self, spec: ServerSpec) -> tuple[str, ...]:
        """The names of the models that it has in memory."""
        kind = KINDS[spec.kind]
        if kind.memory_path is None:
            raise Fault(FaultKind.INCAPABLE, "it does not tell")
        status, body = await self._get(spec, kind, kind.memory_path, LARGEST_LIST)
        if status != 200:
            raise Fault(FaultKind.INCAPABLE, f"status {status} to {kind.memory_path}")
        return tuple(model.name for model in kind.read_list(body, MOST_OF_STRANGERS))

    async def show(self, spec: ServerSpec, model: str) -> ModelShow:
        """What one of its models is; unknown where it answers and does not tell."""
        kind = KINDS[spec.kind]
        if kind.show_path is None or kind.dialect.show is None:
            return ModelShow()
        ask = kind.dialect.show
        status, body = await self._ask(spec, kind, "POST", kind.show_path, LARGEST_SHOW, ask.write(model))
        return ask.read(body) if status == 200 else ModelShow()

    async def words(self, spec: ServerSpec, model: str, text: str, tokens: int) -> Words:
        """Asks a model for a few words. Returns at the first of them: `Words.rest` reads on. Close it."""
        kind = KINDS[spec.kind]
        origin, base = self._origin(spec)
        until = self._clock.now() + ANSWER_TAKES
        ask = ChatRequest(model, [Message("user", text)])
        body = kind.dialect.write_upstream(ask, model, {"max_tokens": tokens, "temperature": 0})
        headers = kind.auth_headers(spec.api_key)
        response = await self._transport.send(
            origin, "POST", base + kind.chat_path, headers, body, deadline=until, max_body=LARGEST_ANSWER
        )
        words = Words(response, kind, model, until)
        try:
            if response.status != 200:
                raise await words.refusal()
            if "html" in response.headers.get("content-type", ""):
                raise Fault(FaultKind.NOT_THE_PROTOCOL, "an HTML page with status 200")
            await words.first()
        except BaseException:
            words.close()
            raise
        return words

    async def _get(self, spec: ServerSpec, kind: Kind, path: str, limit: int) -> tuple[int, bytes]:
        return await self._ask(spec, kind, "GET", path, limit)

    async def _ask(
        self, spec: ServerSpec, kind: Kind, method: str, path: str, limit: int, question: bytes = b""
    ) -> tuple[int, bytes]:
        """Status and body of one question, both within the timeout."""
        origin, base = self._origin(spec)
        until = self._clock.now() + self._timeout
        headers = kind.auth_headers(spec.api_key)
        try:
            response = await self._transport.send(
                origin, method, base + path, headers, question, deadline=until, max_body=limit
            )
        except Fault as fault:
            if fault.kind is FaultKind.FIRST_TOKEN_TIMEOUT:  # a list waits for no model: this server hangs
                raise Fault(FaultKind.HEAD_TIMEOUT, f"silent for {self._timeout:g} s after {path}") from None
            raise
        try:
            _refuse(response.status, response.headers.get("retry-after", ""))
            if "html" in response.headers.get("content-type", ""):
                raise Fault(FaultKind.NOT_THE_PROTOCOL, f"an HTML page with status {response.status}")
            body = b""
            while response.status == 200 and (data := await response.read(until, FaultKind.TOTAL_TIMEOUT)):
                body += data
            return response.status, body
        finally:
            await response.close()

    def _origin(self, spec: ServerSpec) -> tuple[Origin, str]:
        try:
            return self._guard.check_url(spec.url)
        except InvalidRequest as wrong:
            raise Fault(FaultKind.NOT_PERMITTED, wrong.message) from wrong


class Words:
    """An answer of a few words, from its first one on."""

    def __init__(self, response: Response, kind: Kind, model: str, until: float) -> None:
        self.text = ""
        """Thoughts included."""
        self._response = response
        self._kind = kind
        self._model = model
        self._until = until
        self._reader = kind.dialect.stream_reader()

    async def first(self) -> None:
        """Until there is a word. Raises Fault."""
        while not self.text.strip():
            if self._reader.done:
                raise Fault(FaultKind.EMPTY, "an answer without content")
            await self._read()

    async def rest(self) -> str:
        """The whole text. Raises Fault when it breaks off."""
        while not self._reader.done:
            await self._read()
        return self.text

    async def _read(self) -> None:
        if self._reader.fault is not None:
            raise self._reader.fault
        data = await self._response.read(self._until, FaultKind.TOTAL_TIMEOUT)
        for event in self._reader.feed(data) if data else self._reader.eof():
            if isinstance(event, Piece):
                self.text += event.thinking + event.text
        echoed = self._reader.echoed
        if self._kind.echoes_model and echoed is not None and canonical(echoed) != canonical(self._model):
            raise Fault(FaultKind.WRONG_MODEL, f"asked for {self._model}, answers as {echoed}")

    async def refusal(self) -> Fault:
        """What an answer with another status than 200 says."""
        status, headers = self._response.status, self._response.headers
        head = await self._response.read(self._until, FaultKind.TOTAL_TIMEOUT)
        return fault_of(status, headers.get("content-type", ""), head, retry_after=headers.get("retry-after"))

    def close(self) -> None:
        """A finished answer's connection is kept, any other is closed at once."""
        self._response.abort()


def user_agent(contact: str | None = None) -> str:
    """Who asks, for the `Transport`: with a URL or address by which a server's owner can find us, where one is set."""
    words = "".join(c for c in contact or "" if c.isascii() and c.isprintable() and c not in "()\\")
    return f"llm-gateway/{__version__}" + (f" (+{words})" if words else "")


def _refuse(status: int, retry_after: str) -> None:
    """Raises the fault of a status that says no, whatever was asked for."""
    after = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 10 else None
    said = f"status {status}"
    if 300 <= status < 400:
        raise Fault(FaultKind.REDIRECT, said)
    if status == 403:
        raise TurnedAway(FaultKind.AUTH, said)
    if status == 429:
        raise TurnedAway(FaultKind.BUSY, said, retry_after=after)
    if status in (401, 402, 407):
        raise Fault(FaultKind.AUTH, said)
    if status == 503:
        raise Fault(FaultKind.BUSY, said, retry_after=after)
    if status >= 500 and status != 501:
        raise Fault(FaultKind.SERVER_ERROR, said)

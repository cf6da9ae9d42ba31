"""A model server that misbehaves on purpose, at the byte level.

It speaks Ollama's API (`/api/version`, `tags`, `ps`, `show`, `chat`, `generate`, `embed`) and OpenAI's (`/v1/models`,
`/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`) on one loopback port, recites a text that is known word by
word (and goes on with it from any part of it), and fails in the ways of `moods`. Tests put the gateway in front of it;
the demo fleet is made of it.

    async with Rogue(models=["llama3.2:3b"], mood="cut_rst") as server:
        server.url                                    # http://127.0.0.1:54321
        server.mood = "good"                          # at any time
        await server.until(lambda s: s.in_flight == 0, within=1.0)
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

from llm_gateway.testing import catalogue
from llm_gateway.testing.door import Door
from llm_gateway.testing.line import Heard, Line
from llm_gateway.testing.moods import ANY_MODEL, AT_CONNECT, AT_THE_DOOR, MOODS, UNREAD
from llm_gateway.testing.scene import ANSWER_PATHS, Manner, Prefill, Scene, Script
from llm_gateway.testing.voices import Said


class Rogue:
    """One server. Counts are of its whole life; all of them belong to chats, except the two of connections.

    Args:
        models: names it holds; asked for another one it answers 404, as Ollama does.
        mood: how it answers chats. Those of `AT_CONNECT` and `AT_THE_DOOR` meet every path.
        moods: moods of single models, over `mood`.
        mix: mood -> probability, drawn for each chat from `seed`; over `mood`, under `moods`.
        everywhere: the mood rules all paths, lists included, not only chats.
        digests: model -> digest, where it shall differ from the one that every Rogue derives from the name.
        warm: models in memory from the start; others are loaded by their first chat (see `Manner.load`).
        quirks: oddities of its lists, of `catalogue.QUIRKS`.
        capabilities: what its models are able to; it refuses, as Ollama does, what they are not.
        abilities: model -> capabilities, where they shall be others.
        remember: how many of the last requests to keep in `requests`.

    The others are described at `Manner`. Raises ValueError for a mood that does not exist.
    """

    def __init__(
        self,
        models: Sequence[str] = ("recite",),
        mood: str = "good",
        *,
        moods: Mapping[str, str] | None = None,
        mix: Mapping[str, float] | None = None,
        seed: int = 0,
        everywhere: bool = False,
        digests: Mapping[str, str] | None = None,
        version: str = "0.33.0",
        warm: Sequence[str] = (),
        quirks: Collection[str] = (),
        capabilities: Sequence[str] = catalogue.CAPABILITIES,
        abilities: Mapping[str, Sequence[str]] | None = None,
        words: int = 10,
        prefix: str = "w",
        delay: float | None = None,
        rate: float | None = None,
        cut_after: int = 3,
        script: Script | None = None,
        redirect_to: str = "/elsewhere",
        prefill: Prefill = "continue",
        renders: bool = True,
        load: float | None = None,
        context_length: int = catalogue.CONTEXT_LENGTH,
        first_n: int = 3,
        remember: int = 10_000,
    ) -> None:
        for name in (*(moods or {}).values(), *(mix or {})):
            if name not in MOODS:
                raise ValueError(f"no such mood for a single chat: {name}")
        self.models = list(models)
        self.moods = {catalogue.tagged(model).lower(): name for model, name in (moods or {}).items()}
        self.mix = dict(mix or {})
        self.everywhere = everywhere
        self.digests = dict(digests or {})
        self.version = version
        self.quirks = quirks
        self.capabilities = capabilities
        self.abilities = dict(abilities or {})
        self._dice = random.Random(seed)  # noqa: S311 - repeatable chance is the point
        self.manner = Manner(
            words, prefix, delay, rate, cut_after, script, redirect_to,
            prefill, renders, load, context_length, first_n, self._dice,
        )  # fmt: skip
        self.requests: deque[Heard] = deque(maxlen=remember)
        """What was asked, of all paths, oldest first."""
        self.connections = 0
        """Accepted."""
        self.open = 0
        """Connections open now."""
        self.chats = 0
        """Received."""
        self.in_flight = 0
        """Being answered now."""
        self.answered = 0
        """Played to their end, whatever that was."""
        self.aborted = 0
        """Given up by the client before their end."""
        self._warm = dict.fromkeys(warm, -math.inf)
        """Model -> when it is loaded, by the loop's clock."""
        self._changed = asyncio.Event()
        self._mishap: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: set[Line] = set()
        self._busy: set[Line] = set()
        self._door = Door(self._welcome)
        self._mood = "good"
        self.mood = mood

    # its life

    async def __aenter__(self) -> Self:
        self._door.open(self._mood if self._mood in AT_THE_DOOR else None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends every connection. Raises what went wrong inside a mood: that is no fault of the client's."""
        self._door.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._mishap and error is None:
            raise self._mishap

    @property
    def port(self) -> int:
        return self._door.port

    @property
    def url(self) -> str:
        """The base URL for kind `ollama`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The base URL for kind `openai`."""
        return f"{self.url}/v1"

    @property
    def mood(self) -> str:
        return self._mood

    @mood.setter
    def mood(self, mood: str) -> None:
        """Counts for chats from now on. A mood that acts before a request is read closes the idle connections, and
        one of the port the port as well; running answers go on."""
        if mood not in MOODS and mood not in AT_THE_DOOR:
            raise ValueError(f"no such mood: {mood}")
        self._mood = mood
        if not self._door.port:
            return
        state = mood if mood in AT_THE_DOOR else None
        if state != self._door.state:
            self._door.close()
            self._door.open(state)
        if state or mood in AT_CONNECT:
            for line in self._lines - self._busy:
                line.close()

    def crash(self) -> None:
        """As after kill -9: every connection is reset in mid-word and the port is closed, until the mood changes."""
        for line in self._lines:
            line.reset()
        self.mood = "refuse"

    async def until(self, true_of: Callable[[Self], bool], within: float = 5.0) -> None:
        """Waits until the condition holds. Raises TimeoutError with the counts after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while not true_of(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {within} s: {self!r}") from None

    def __repr__(self) -> str:
        counts = ("connections", "open", "chats", "in_flight", "answered", "aborted")
        return f"<Rogue :{self.port} {self._mood} " + " ".join(f"{name}={getattr(self, name)}" for name in counts) + ">"

    def chats_heard(self) -> list[Heard]:
        """The requests among `requests` that make a model speak."""
        return [heard for heard in self.requests if heard.path in ANSWER_PATHS]

    # one connection

    def _welcome(self, client: socket.socket) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.get_running_loop().create_task(self._serve(client), name=f"rogue:{self.port}:{self.connections}")
        self._tasks.add(task)
        task.add_done_callback(self._hung_up)
        self._changed.set()

    def _hung_up(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.open -= 1
        if not task.cancelled() and (error := task.exception()):
            self._mishap = self._mishap or error
        self._changed.set()

    async def _serve(self, client: socket.socket) -> None:
        if self._mood in UNREAD:
            with client:  # without a stream, which would read ahead
                await asyncio.Event().wait()
        line = Line(*await asyncio.open_connection(sock=client))
        self._lines.add(line)
        try:
            await self._converse(line)
        except ConnectionError:
            return
        finally:
            self._lines.discard(line)
            self._busy.discard(line)
            line.close()

    async def _converse(self, line: Line) -> None:
        turn = 0
        if self._mood in AT_CONNECT:
            await self._play(self._mood, Scene(line, self.manner))
            return
        while heard := await line.read_request():
            turn += 1
            self.requests.append(heard)
            self._changed.set()
            self._busy.add(line)
            scene = Scene(line, self.manner, heard, turn, self.chats + 1)
            if heard.path in ANSWER_PATHS and heard.method == "POST":
                await self._chat(scene)
            elif self._mood in AT_CONNECT or (self.everywhere and self._mood not in ("good", *AT_THE_DOOR)):
                await self._play(self._mood, scene)
            else:
                await line.whole(*self._about().answer(heard.method, heard.path, heard.json))
            self._busy.discard(line)
            if not line.reusable or self._mood in AT_THE_DOOR:
                return

    def _about(self) -> catalogue.About:
        now = asyncio.get_running_loop().time()
        warm = {model: now < at for model, at in self._warm.items()}
        context = self.manner.context_length
        return catalogue.About(
            self.models, self.digests, warm, self.version, context, self.quirks, self.capabilities, self.abilities
        )

    async def _chat(self, scene: Scene) -> None:
        if scene.body.get("_debug_render_only") and scene.ollama and self.manner.renders:
            await scene.render()
            return
        self.chats += 1
        self.in_flight += 1
        self._changed.set()
        finished = False
        try:
            mood = self._mood_for(scene.model)
            if not (catalogue.holds(self.models, scene.model) or mood in ANY_MODEL):
                await scene.refuse(404, f"model '{scene.model}' not found")
                finished = True
            elif (lack := catalogue.missing(scene.body, self._about().able(scene.model))) is not None:
                await scene.refuse(400, lack)
                finished = True
            elif scene.words and not (scene.body.get("messages") or scene.body.get("prompt")):
                await scene.line.whole(200, scene.voice.whole(Said(reason="load")))
                finished = True
            elif scene.partial and not scene.raw and self.manner.prefill == "reject":
                await scene.refuse(400, "the last message must not be from the assistant")
                finished = True
            else:
                finished = await self._play(mood, scene)
        finally:
            self.in_flight -= 1
            self.answered += finished
            self.aborted += not finished
            self._changed.set()

    def _mood_for(self, model: str) -> str:
        if (own := self.moods.get(catalogue.tagged(model).lower())) is not None:
            return own
        if self.mix:
            return self._dice.choices(list(self.mix), list(self.mix.values()))[0]
        return "good" if self._mood in AT_THE_DOOR else self._mood  # the port closed while this was on its way

    async def _play(self, mood: str, scene: Scene) -> bool:
        """True when the mood came to its end, False when the client hung up before. Raises what the mood raised."""
        playing = asyncio.ensure_future(self._loaded(MOODS[mood], scene))
        watching = asyncio.ensure_future(scene.line.gone())
        try:
            await asyncio.wait({playing, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = playing.done()
            playing.cancel()
            watching.cancel()
            await asyncio.gather(playing, watching, return_exceptions=True)
        if not ended:
            scene.line.reusable = False
            return False
        error = playing.exception()
        if isinstance(error, ConnectionError):
            return False
        if error:
            raise error
        return True

    async def _loaded(self, mood: Callable[[Scene], Awaitable[None]], scene: Scene) -> None:
        """The mood, after the model was loaded; that goes on without the client that asked for it first."""
        if scene.model:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(self._warm.setdefault(scene.model, now + (self.manner.load or 0.0)) - now)
        await mood(scene)

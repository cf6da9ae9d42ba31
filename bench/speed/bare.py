"""A relay in Python that does nothing but translate: what the interpreter, uvloop, httptools and msgspec cost together.

    python bench/speed/bare.py UPSTREAM_PORT PORT

No key, no limit, no choice of a server, no second attempt, no check of what comes, no log, no metrics, and no time is
kept: one upstream, connections kept, callbacks from socket to socket. No gateway is it; it tells which part of the
gateway's figures another design in Python could ever save.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import msgspec
import uvloop
from httptools import HttpRequestParser, HttpResponseParser

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nx-gateway-model: a-model\r\n"
CHUNK = b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","created":1,"model":"a-model","choices":[%b]}\n\n'
WORDS = b'{"index":0,"delta":{"content":%b},"finish_reason":null}'
END = CHUNK % b'{"index":0,"delta":{},"finish_reason":"stop"}' + b"data: [DONE]\n\n"
encode = msgspec.json.encode


class Said(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Said


class Event(msgspec.Struct):
    """A frame of OpenAI's."""

    choices: list[Choice] = []


class Line(msgspec.Struct):
    """A frame of Ollama's."""

    message: Said


class Body(msgspec.Struct):
    model: str
    messages: msgspec.Raw
    stream: bool = False


decode_event, decode_line = msgspec.json.Decoder(Event).decode, msgspec.json.Decoder(Line).decode
decode_body = msgspec.json.Decoder(Body).decode


class Upstream(asyncio.Protocol):
    """A connection that carries one answer at a time."""

    def __init__(self) -> None:
        self.fresh: list[bytes] = []
        self.on_body = self.fresh.append
        self.parser = HttpResponseParser(self)
        self.rest = b""
        self.done = False
        self.client: Client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def on_message_complete(self) -> None:
        self.done = True

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)
        client = self.client
        whole, mark, self.rest = (self.rest + b"".join(self.fresh)).rpartition(client.mark)
        self.fresh.clear()
        if mark:
            client.take([text for frame in whole.split(mark) if (text := client.text_of(frame))])
        if self.done:
            self.done, self.rest = False, b""
            idle.append(self)
            client.end()


idle: list[Upstream] = []


class Client(asyncio.Protocol):
    def __init__(self, port: int) -> None:
        self.port = port
        self.parser = HttpRequestParser(self)
        self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        asked = decode_body(self.body)
        self.body = b""
        self.headers.clear()
        self.stream = asked.stream
        self.said: list[str] = []
        asked.model = asked.model.removeprefix("asked-")
        lines = asked.model.startswith("nd")
        self.mark = b"\n" if lines else b"\n\n"
        self.text_of = text_of_line if lines else text_of_event
        asked.stream = True
        body = encode(asked)
        path = b"/api/chat" if lines else b"/v1/chat/completions"
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        if self.stream:
            self.transport.write(HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n")
        if idle:
            self.send(idle.pop(), head % (path, len(body)) + body)
        else:
            self.dialling = asyncio.ensure_future(self.dial(head % (path, len(body)) + body))

    async def dial(self, request: bytes) -> None:
        _, upstream = await asyncio.get_running_loop().create_connection(Upstream, "127.0.0.1", self.port)
        self.send(upstream, request)

    def send(self, upstream: Upstream, request: bytes) -> None:
        upstream.client = self
        upstream.transport.write(request)

    def take(self, texts: list[str]) -> None:
        if not self.stream:
            self.said += texts
        elif texts:
            out = b"".join([CHUNK % (WORDS % encode(text)) for text in texts])
            self.transport.write(b"%x\r\n%b\r\n" % (len(out), out))

    def end(self) -> None:
        if self.stream:
            self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(END), END))
            return
        message = {"role": "assistant", "content": "".join(self.said)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "chatcmpl-0", "object": "chat.completion", "created": int(time.time()), "choices": [choice]}
        body = encode(answer)
        self.transport.write(HEAD % b"application/json" + b"content-length: %d\r\n\r\n%b" % (len(body), body))


def text_of_event(frame: bytes) -> str | None:
    if not frame.startswith(b"data: {"):
        return None
    choices = decode_event(frame[6:]).choices
    return choices[0].delta.content if choices else None


def text_of_line(frame: bytes) -> str | None:
    return decode_line(frame).message.content


async def main(upstream: int, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Client(upstream), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))

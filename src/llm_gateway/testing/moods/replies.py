"""Moods that send one whole HTTP answer which is not the one that was asked for.

Texts are those that Ollama and what stands in front of it really send; callers should match them loosely.
"""

from __future__ import annotations

from llm_gateway.testing.scene import Scene
from llm_gateway.testing.voices import Said

LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Router login</title></head><body><form></form></body></html>\n"
BAD_GATEWAY = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
RUNNER = "llama runner process has terminated: exit status 2"
MEMORY = "model requires more system memory (37.4 GiB) than is available (14.9 GiB)"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
RETRY_AFTER = 7
"""Seconds."""


async def html_200(scene: Scene) -> None:
    """A router's login page, a captive portal: 200 OK."""
    await scene.line.whole(200, LOGIN_PAGE, "text/html; charset=utf-8")


async def html_502(scene: Scene) -> None:
    """The proxy lives, the server behind it does not."""
    await scene.line.whole(502, BAD_GATEWAY, "text/html")


async def json_error_200(scene: Scene) -> None:
    """Ollama before 0.12.6: an early failure is 200 and a stream of one error."""
    if scene.streaming:
        await scene.line.start(scene.voice.stream_type)
        await scene.line.chunk(scene.voice.broken(RUNNER))
        await scene.line.end()
    else:
        await scene.refuse(200, RUNNER)


async def empty_stream(scene: Scene) -> None:
    """200 and not one byte of body."""
    await scene.line.start(scene.voice.stream_type)
    await scene.line.end()


async def empty_done(scene: Scene) -> None:
    """A finished answer that says nothing."""
    await scene.deliver(scene.answer(Said()))


async def done_load(scene: Scene) -> None:
    """The model was loaded, nothing was answered."""
    await scene.deliver(scene.answer(Said(reason="load")))


async def not_found_model(scene: Scene) -> None:
    await scene.refuse(404, f"model '{scene.model}' not found")


async def runner_500(scene: Scene) -> None:
    await scene.refuse(500, RUNNER)


async def caller_400(scene: Scene) -> None:
    """The request is wrong, it says: true or not."""
    await scene.refuse(400, "invalid request: the gateway's client sent something wrong")


async def oom_500(scene: Scene) -> None:
    await scene.refuse(500, MEMORY)


async def unauthorized_401(scene: Scene) -> None:
    await scene.refuse(401, "unauthorized", www_authenticate="Bearer")


async def forbidden_403(scene: Scene) -> None:
    """No body at all, as Ollama answers a `Host` it does not like."""
    await scene.line.whole(403, b"", "text/plain")


async def too_many_429(scene: Scene) -> None:
    await scene.refuse(429, "too many requests", retry_after=str(RETRY_AFTER))


async def busy_503(scene: Scene) -> None:
    """The queue is full. Ollama sends no `Retry-After`."""
    await scene.refuse(503, BUSY)


async def redirect(scene: Scene) -> None:
    """To `manner.redirect_to`, by default a path of this server: it must never be asked for."""
    await scene.line.whole(307, b"", "text/html", location=scene.manner.redirect_to)


async def tls_port(scene: Scene) -> None:
    """What Go says on an https port that was spoken to in plain HTTP."""
    await scene.line.send(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
    scene.line.close()

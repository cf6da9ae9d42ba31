"""Moods that send one whole HTTP answer which is not the one that was asked for.

Texts are those that Ollama and what stands in front of it really send; callers should match them loosely.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llm_gateway.testing.scene import Scene
from llm_gateway.testing.voices import Said

LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Router login</title></head><body><form></form></body></html>\n"
BAD_GATEWAY = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
PAGE = b"<html><head><title>%d</title></head><body><center><h1>%d</h1></center><hr>cloudflare</body></html>\n"
CUDA = "cudaMalloc failed: out of memory"
LOADING = "Loading model"
RUNNER = "llama runner process has terminated: exit status 2"
MEMORY = "model requires more system memory (37.4 GiB) than is available (14.9 GiB)"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
RETRY_AFTER = 7
"""Seconds."""
PAGES = (503, 504, 520, 521, 522, 523, 524, 530)
"""Statuses with which a proxy or a content network says, in HTML, that nobody is behind it."""


async def html_200(scene: Scene) -> None:
    """A router's login page, a captive portal: 200 OK."""
    await scene.line.whole(200, LOGIN_PAGE, "text/html; charset=utf-8")


async def html_as_json(scene: Scene) -> None:
    """The same page, labelled as what was asked for."""
    await scene.line.whole(200, LOGIN_PAGE, scene.voice.stream_type)


def html_page(status: int) -> Callable[[Scene], Awaitable[None]]:
    """The mood that answers with the page of a status."""

    async def page(scene: Scene) -> None:
        await scene.line.whole(status, PAGE % (status, status), "text/html; charset=utf-8")

    return page


async def html_502(scene: Scene) -> None:
    """The proxy lives, the server behind it does not."""
    await scene.line.whole(502, BAD_GATEWAY, "text/html")


async def unauthorized_html(scene: Scene) -> None:
    """A proxy in front of the server wants a password."""
    await scene.line.whole(401, PAGE % (401, 401), "text/html", www_authenticate='Basic realm="ollama"')


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


async def done_unload(scene: Scene) -> None:
    """The model was put out of memory, nothing was answered."""
    await scene.deliver(scene.answer(Said(reason="unload")))


async def not_ollama_404(scene: Scene) -> None:
    """Another service, or an Ollama that is older than the path."""
    await scene.line.whole(404, b"404 page not found", "text/plain")


async def not_found_model(scene: Scene) -> None:
    await scene.refuse(404, f"model '{scene.model}' not found")


async def runner_500(scene: Scene) -> None:
    await scene.refuse(500, RUNNER)


async def caller_400(scene: Scene) -> None:
    """The request is wrong, it says: true or not."""
    await scene.refuse(400, "invalid request: the gateway's client sent something wrong")


async def oom_500(scene: Scene) -> None:
    await scene.refuse(500, MEMORY)


async def cuda_500(scene: Scene) -> None:
    await scene.refuse(500, CUDA)


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


async def loading_503(scene: Scene) -> None:
    """llama.cpp while it loads."""
    await scene.refuse(503, LOADING)


async def redirect_loop(scene: Scene) -> None:
    """To the very path that was asked for."""
    await scene.line.whole(308, b"", "text/html", location=scene.path)


async def redirect_internal(scene: Scene) -> None:
    """To `manner.redirect_to`, with a status that turns a POST into a GET."""
    await scene.line.whole(302, b"", "text/html", location=scene.manner.redirect_to)


async def redirect(scene: Scene) -> None:
    """To `manner.redirect_to`, by default a path of this server: it must never be asked for."""
    await scene.line.whole(307, b"", "text/html", location=scene.manner.redirect_to)


async def tls_port(scene: Scene) -> None:
    """What Go says on an https port that was spoken to in plain HTTP."""
    await scene.line.send(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
    scene.line.close()

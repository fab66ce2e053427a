"""Answers over HTTP to whoever looks after a process (Kubernetes: liveness and readiness probes)."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.Response]]


@contextlib.asynccontextmanager
async def serving(address: str, pages: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Serve ``pages`` by path at ``host:port`` meanwhile, from its own event loop: a process that hangs is silent.

    Raises ``RuntimeError`` when it can't listen there.
    """
    application = web.Application()
    for path, handler in pages.items():
        application.router.add_get(path, handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    host, _, port = address.rpartition(":")
    try:
        try:
            await web.TCPSite(runner, host, int(port)).start()
        except (OSError, ValueError) as error:
            raise RuntimeError(f"can't listen at {address!r}: {error}") from error
        yield
    finally:
        await runner.cleanup()


def answer(holds: Callable[[], bool]) -> Handler:
    """Return a page that says whether something holds: status 200 or 503."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(text="ok") if holds() else web.Response(status=503, text="not ok")

    return handle

"""TLS in front of a server that has none, in a thread: what stands for it elsewhere."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator

from deploy.stack import Stack, hostpki


class Front:
    """Passes bytes on from TLS at a free port of loopback to ``target``."""

    def __init__(self, stack: Stack, target: int, *, mutual: bool) -> None:
        """Show the certificate of the stack's API server; with ``mutual`` let in clients of the same CA only."""
        pki = hostpki.pki(stack)
        self._target = target
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "kubernetes-ca.crt"))
        self._tls.load_cert_chain(pki / "apiserver.pem")
        self._tls.set_alpn_protocols(["h2", "http/1.1"] if mutual else ["http/1.1"])
        if mutual:
            self._tls.verify_mode = ssl.CERT_REQUIRED
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator["Front"]:
        """Serve meanwhile."""
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls), self._loop
        ).result()
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(_pass(reader, back), _pass(there, writer))
        finally:
            back.transport.abort()
            writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()

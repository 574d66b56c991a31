"""A proxy between the operator and the API server: it counts writes, and can act after any of them."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

__all__ = ["WriteProxy"]

_DROPPED = {"host", "content-length", "transfer-encoding", "connection"}


class WriteProxy:
    """Plain HTTP on loopback, the API server behind it. Runs in a thread of its own.

    Args:
        server: the API server's address.
        context: whom to trust there.
        after_write: called with the number of each write that the API server has answered, before its answer is
            passed on: what is killed here never learns that its write was done.
    """

    def __init__(
        self, server: str, context: ssl.SSLContext, after_write: Callable[[int], None]
    ) -> None:
        self._server = server
        self._context = context
        self._after_write = after_write
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.writes = 0
        self.address = ""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.address = f"http://127.0.0.1:{port}"

    async def _stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        if self._session:
            await self._session.close()
        # Watches of an operator that was killed: nobody reads them any more.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if self._session is None:
            raise web.HTTPServiceUnavailable
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _DROPPED
        }
        body = await request.read()
        try:
            async with self._session.request(
                request.method,
                self._server + request.raw_path,
                headers=headers,
                data=body or None,
            ) as answer:
                return await self._answer(request, answer)
        except aiohttp.ClientError as error:
            raise web.HTTPBadGateway(text=str(error)) from error

    async def _chunk(self, request: web.Request, chunk: bytes) -> bytes:
        """What is passed on of a piece of an answer to a GET: for tests that leave something out."""
        return chunk

    async def _answer(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        kept = {
            name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED
        }
        if request.method != "GET":
            text = await answer.read()
            self.writes += 1
            self._after_write(self.writes)
            return web.Response(status=answer.status, body=text, headers=kept)
        passed = web.StreamResponse(status=answer.status, headers=kept)
        await passed.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                if kept_chunk := await self._chunk(request, chunk):
                    await passed.write(kept_chunk)
        except (ConnectionResetError, aiohttp.ClientError):
            return passed  # the operator was killed, or the API server was
        await passed.write_eof()
        return passed

"""An answer that comes before its request's body is over must survive: closing at once would reset the connection."""

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAIN_SECONDS = 10
DRAIN_BYTES = 64 << 20


class Draining:
    """ASGI middleware: after an early answer it reads on for a while, so that a sending client sees the answer.

    A client that still waits for `100 Continue` sends no body then, and is not waited for.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _expects_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        body = _Body(receive, is_begun=Headers(scope=scope).get("expect", "").lower() != "100-continue")
        has_length = False

        async def sending(message: Message) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                has_length = "content-length" in Headers(raw=message["headers"])
            elif has_length and not message.get("more_body", False) and body.is_coming:
                await send({**message, "more_body": True})
                await body.drain()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, body.receive, sending)


class _Body:
    def __init__(self, receive: Receive, *, is_begun: bool) -> None:
        self._receive = receive
        self._is_begun = is_begun
        self._is_over = False

    @property
    def is_coming(self) -> bool:
        """Whether the client is sending more of it."""
        return self._is_begun and not self._is_over

    async def receive(self) -> Message:
        self._is_begun = True
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_over = True
        return message

    async def drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                size = 0
                while not self._is_over and size < DRAIN_BYTES:
                    size += len((await self.receive()).get("body", b""))


def _expects_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

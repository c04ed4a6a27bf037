"""Waiting for the outcome of imports: woken by the broker, sure by looking each second (architecture §5)."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from enum import Enum
from uuid import UUID

from aio_pika.exceptions import AMQPError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common import telemetry
from libs.common.broker import RECONNECT_SECONDS, Broker
from libs.common.errors import Retryable
from libs.common.messages import ImportFinished
from services.gateway import imports

POLL_SECONDS = 1


class Ending(Enum):
    """Why waiting is over."""

    FINISHED = "finished"
    LIMIT = "limit"
    CLIENT_GONE = "client-gone"


class Waiting:
    """The imports that requests of this process wait for."""

    def __init__(self, engine: AsyncEngine, broker: Broker, limit_seconds: float) -> None:
        self._engine = engine
        self._broker = broker
        self.limit_seconds = limit_seconds
        self._finished: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let everybody who waits answer now: the process is to end."""
        self._stopping.set()

    async def pause(self, seconds: float) -> bool:
        """Let so much time pass, less if the process is to end; whether it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def until_finished(self, import_id: UUID, client_gone: asyncio.Task[None]) -> Ending:
        """Wait until the import has its outcome, the client has gone, or it takes too long."""
        with self._expecting(import_id) as finished:
            tasks = [asyncio.create_task(event.wait()) for event in (finished, self._stopping)]
            try:
                await asyncio.wait(
                    [*tasks, client_gone], timeout=self.limit_seconds, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                for task in tasks:
                    task.cancel()
            if finished.is_set():
                return Ending.FINISHED
            return Ending.CLIENT_GONE if client_gone.done() else Ending.LIMIT

    @contextlib.contextmanager
    def _expecting(self, import_id: UUID) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._finished[import_id].add(event)
        try:
            yield event
        finally:
            self._finished[import_id].discard(event)
            if not self._finished[import_id]:
                del self._finished[import_id]

    def _wake(self, import_id: UUID) -> None:
        for event in self._finished.get(import_id, ()):
            event.set()

    async def look(self) -> None:
        """Look each second which of the imports have ended; until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._finished:
                with contextlib.suppress(Retryable):  # the next look may find the database
                    for import_id in await imports.ended(self._engine, list(self._finished)):
                        self._wake(import_id)

    async def listen(self) -> None:
        """Be woken by `import.finished`, and keep the connection for it; until cancelled."""
        failures = 0
        while True:
            try:
                await self._watch()
                failures = 0
            except (AMQPError, ConnectionError, OSError, TimeoutError, RuntimeError, Retryable) as error:
                telemetry.reconnects.labels("gateway").inc()
                telemetry.log().warning("broker lost", reason=type(error).__name__)
                failures += 1
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])

    async def _watch(self) -> None:
        """Watch until the connection is seen to be lost, whatever the library thinks."""
        watching = asyncio.create_task(self._broker.watch(ImportFinished, lambda m: self._wake(m.import_id)))
        try:
            while not watching.done():
                await asyncio.wait([watching], timeout=POLL_SECONDS)
                if not watching.done() and not self._broker.is_connected:
                    await self._grace(watching)
            await watching
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _grace(self, watching: "asyncio.Task[None]") -> None:
        await asyncio.wait([watching], timeout=POLL_SECONDS * 12)  # connecting takes up to 10 s
        if not watching.done() and not self._broker.is_connected:
            raise ConnectionError("lost")

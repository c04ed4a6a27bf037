"""Whether an upload would work: database, store and broker answer, and every work queue has a consumer."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.broker import Broker
from libs.common.database import transaction
from libs.common.errors import Retryable
from libs.common.storage import Missing, ObjectStore
from libs.common.topology import CONSUMERS, queue_name

PROBE_SECONDS = 5
VALID_SECONDS = 1
PROBE_KEY = "uploads/probe"
QUEUES = tuple(queue_name(service, message) for service, messages in CONSUMERS.items() for message in messages)


class Readiness:
    """What is missing, asked at most once a second."""

    def __init__(self, engine: AsyncEngine, store: ObjectStore, broker: Broker) -> None:
        self._engine = engine
        self._store = store
        self._broker = broker
        self._asking = asyncio.Lock()
        self._servers: tuple[str, ...] = ()
        self._servers_until = 0.0

    async def require_servers(self) -> None:
        """Raises `Retryable` while an upload could not even be accepted."""
        if missing := await self.missing_servers():
            raise Retryable("unavailable", f"Imports can't be accepted now: no {' and no '.join(missing)}.")

    async def missing_servers(self) -> tuple[str, ...]:
        """Those of database, store and broker that do not answer."""
        async with self._asking:
            if time.monotonic() > self._servers_until:
                names = ("database", "store", "broker")
                answers = await asyncio.gather(*map(_answers, (self._database, self._object_store, self._work_queue)))
                self._servers = tuple(n for n, is_there in zip(names, answers, strict=True) if not is_there)
                self._servers_until = time.monotonic() + VALID_SECONDS
            return self._servers

    async def missing(self) -> tuple[str, ...]:
        """All that an import needs and that is not there, consumers of the work queues included."""
        servers = await self.missing_servers()
        if "broker" in servers:
            return servers
        try:
            counts = await asyncio.gather(*map(self._broker.consumers, QUEUES))
        except Retryable:
            return (*servers, "broker")
        idle = [queue for queue, count in zip(QUEUES, counts, strict=True) if not count]
        return (*servers, *(f"consumer of {queue}" for queue in idle))

    async def _database(self) -> None:
        async with transaction(self._engine) as connection:
            await connection.execute(sa.select(1))

    async def _object_store(self) -> None:
        try:
            await self._store.head(PROBE_KEY)
        except Missing:
            return

    async def _work_queue(self) -> None:
        await self._broker.consumers(QUEUES[0])


async def _answers(probe: Callable[[], Awaitable[None]]) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await probe()
    except (Retryable, TimeoutError):
        return False
    return True

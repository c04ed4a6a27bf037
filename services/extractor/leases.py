"""Work that outlasts a message: acknowledged, and held by a lease on the import's row instead (architecture §4)."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common import telemetry
from libs.common.command_rows import end_work
from libs.common.database import transaction
from libs.common.errors import Poison, Retryable, UserError
from libs.common.messages import ImportReceived, Output
from libs.common.schema import imports
from libs.common.subscriptions import Tell

SWEEP_SECONDS = 15
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a message is held, how long a lease lasts, and how often it is renewed; in seconds."""

    hold: float = 300
    lease: float = 90
    renew: float = 30


class Leases:
    """The work of this process that has outlasted its messages."""

    def __init__(self, engine: AsyncEngine, tell: Tell, terms: Terms | None = None) -> None:
        self._engine = engine
        self._tell = tell
        self._terms = terms or Terms()
        self._running: dict[asyncio.Task[None], UUID] = {}

    async def hold(self, import_id: UUID, work: Coroutine[object, object, Sequence[Output]]) -> Sequence[Output]:
        """What `work` returns; or nothing, if it takes longer than a message may be held: then it goes on by a lease.

        Work that is stopped, or fails in a way that may pass, leaves a lease that has expired: the sweep tells of the
        import again.
        """
        task = asyncio.create_task(work)
        try:
            done, _ = await asyncio.wait([task], timeout=self._terms.hold)
            if done:
                return await task
            await self._lease(import_id, self._terms.lease)
        except BaseException:
            task.cancel()
            raise
        telemetry.log().info("leased", import_id=str(import_id))
        carrying = asyncio.create_task(self._carry_on(import_id, task))
        self._running[carrying] = import_id
        carrying.add_done_callback(lambda ended: (self._running.pop(ended, None), task.cancel()))
        return []

    async def close(self) -> None:
        """Stop all of it; another replica takes it over."""
        running = dict(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for import_id in running.values():
            with contextlib.suppress(Retryable):
                await self._lease(import_id, 0)

    async def _carry_on(self, import_id: UUID, task: "asyncio.Task[Sequence[Output]]") -> None:
        try:
            while not (await asyncio.wait([task], timeout=self._terms.renew))[0]:
                with contextlib.suppress(Retryable):  # the lease lasts longer than one renewal
                    await self._lease(import_id, self._terms.lease)
            await self._tell(*await self._outcome(import_id, task))
        except Retryable as error:
            telemetry.log().warning("lease given up", import_id=str(import_id), code=error.code)
            with contextlib.suppress(Retryable):
                await self._lease(import_id, 0)

    async def _outcome(self, import_id: UUID, task: "asyncio.Task[Sequence[Output]]") -> Sequence[Output]:
        try:
            return await task
        except UserError as error:
            return await end_work(self._engine, import_id, "rejected", error)
        except Poison as error:
            return await end_work(self._engine, import_id, "failed", error)

    async def _lease(self, import_id: UUID, seconds: float) -> None:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        async with transaction(self._engine) as connection:
            await connection.execute(
                sa.update(imports)
                .where(imports.c.id == import_id, imports.c.listed_at.is_(None))
                .values(leased_until=until)
            )


async def sweep(engine: AsyncEngine, tell: Tell) -> None:
    """Look every `SWEEP_SECONDS` for leases that have expired, until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        with contextlib.suppress(Retryable):  # the next look may find the servers
            await tell_expired(engine, tell)


async def tell_expired(engine: AsyncEngine, tell: Tell) -> int:
    """Tell again of imports whose lease has expired before they were listed; how many. Any replica may."""
    columns = imports.c
    query = (
        sa.select(columns.id)
        .where(columns.leased_until < sa.func.now(), columns.listed_at.is_(None), columns.outcome.is_(None))
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    async with transaction(engine) as connection:
        ids = list(await connection.scalars(query))
        await tell(*(ImportReceived(import_id=import_id) for import_id in ids))
        await connection.execute(sa.update(imports).where(columns.id.in_(ids)).values(leased_until=None))
    return len(ids)

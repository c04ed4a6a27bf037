"""Every few seconds: tell again what was not confirmed, fail what has gone silent, forget expired logins."""

import asyncio
import contextlib
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common import telemetry
from libs.common.broker import Broker
from libs.common.command_rows import end_work
from libs.common.database import transaction
from libs.common.errors import Retryable
from libs.common.requests import ImportRequest
from libs.common.schema import commands, import_batches, imports, logins
from services.gateway.commands import tell_again as tell_commands
from services.gateway.imports import told

SWEEP_SECONDS = 5
UNTOLD_AFTER = timedelta(seconds=3)
AT_ONCE = 100


async def sweep(engine: AsyncEngine, broker: Broker, site_id: str, silent_after: timedelta) -> None:
    """Sweep until cancelled. Any replica may; rows that another one has in hand are skipped."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        with contextlib.suppress(Retryable):  # what is away now may be back at the next sweep
            await tell_again(engine, broker, site_id)
            await tell_commands_again(engine, broker)
            await fail_silent(engine, broker, silent_after)
            await forget_logins(engine)


async def tell_again(engine: AsyncEngine, broker: Broker, site_id: str) -> int:
    """Publish for imports whose first publishing was not confirmed; how many. Safe to repeat: same ids, same words."""
    columns = imports.c
    query = (
        sa.select(columns.id, columns.request, columns.size_bytes, columns.received_at)
        .where(columns.told_at.is_(None), columns.outcome.is_(None), columns.received_at < sa.func.now() - UNTOLD_AFTER)
        .order_by(columns.received_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    async with transaction(engine) as connection:
        rows = (await connection.execute(query)).all()
        for row in rows:
            request = ImportRequest.model_validate(row.request)
            await broker.publish(*told(row.id, request, row.size_bytes, row.received_at, site_id))
        if rows:
            ids = [row.id for row in rows]
            await connection.execute(sa.update(imports).where(columns.id.in_(ids)).values(told_at=sa.func.now()))
            telemetry.log().info("told again", imports=[str(import_id) for import_id in ids])
    return len(rows)


async def tell_commands_again(engine: AsyncEngine, broker: Broker) -> int:
    """The same for commands, whoever wrote them."""
    columns = commands.c
    query = (
        sa.select(columns.id)
        .where(columns.told_at.is_(None), columns.outcome.is_(None), columns.received_at < sa.func.now() - UNTOLD_AFTER)
        .order_by(columns.received_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    async with transaction(engine) as connection:
        return len(await tell_commands(connection, broker, query))


async def fail_silent(engine: AsyncEngine, broker: Broker, silent_after: timedelta) -> int:
    """Mark imports as failed that have shown no progress for so long; how many. A replay may still end them well."""
    columns, batch = imports.c, import_batches.c
    latest_batch = (
        sa.select(sa.func.max(sa.func.greatest(batch.routed_at, batch.staged_at)))
        .where(batch.import_id == columns.id)
        .scalar_subquery()
    )
    latest = sa.func.greatest(
        columns.received_at, columns.leased_until, columns.listed_at, columns.staged_at, columns.merged_at, latest_batch
    )
    query = (
        sa.select(columns.id)
        .where(
            columns.outcome.is_(None),
            columns.received_at < sa.func.now() - silent_after,
            latest < sa.func.now() - silent_after,
        )
        .limit(AT_ONCE)
    )
    async with transaction(engine) as connection:
        ids = list((await connection.execute(query)).scalars())
    for import_id in ids:
        error = Retryable("silent", "No progress was seen for too long.")
        await broker.publish(*await end_work(engine, import_id, "failed", error))
        telemetry.log().error("import silent", import_id=str(import_id))
    return len(ids)


async def forget_logins(engine: AsyncEngine) -> None:
    """Remove the logins that have expired."""
    async with transaction(engine) as connection:
        await connection.execute(sa.delete(logins).where(logins.c.expires_at < sa.func.now()))

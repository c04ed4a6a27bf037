"""Tells again what was not answered: a message that is lost costs a minute, not an import."""

import asyncio
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import telemetry
from libs.common.commands import CommandKind
from libs.common.database import transaction
from libs.common.entries import take_back_empty
from libs.common.errors import Retryable
from libs.common.messages import CommandReceived, ImportStaged, SessionChanged
from libs.common.schema import commands, imports, session_changes
from libs.common.subscriptions import Tell
from services.archiver.idle import commit_idle

SWEEP_SECONDS = 15
SILENT_SECONDS = 60
FAILED_SECONDS = 3600
UNTOLD_SECONDS = 5
AT_ONCE = 100


async def sweep(engine: AsyncEngine, tell: Tell, idle: timedelta | None = None) -> None:
    """Look every `SWEEP_SECONDS`, until cancelled. Replicas skip what another one is telling.

    Entries that nothing came to for `idle` are committed; None: for as long as the site's preference says.
    """
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await tell_again(engine, tell)
            await start_idle(engine, tell, idle)
        except Retryable as error:
            telemetry.log().warning("sweep failed", code=error.code)


async def tell_again(engine: AsyncEngine, tell: Tell) -> None:
    """Tell the changes that nobody has catalogued, staged imports and commands that nobody has ended.

    Safe to repeat.
    """
    async with transaction(engine) as connection:
        silent = (*await _silent_changes(connection), *await _silent_imports(connection))
        await tell(*silent, *await _silent_commands(connection))


async def start_idle(engine: AsyncEngine, tell: Tell, idle: timedelta | None) -> None:
    """Have the entries committed that receive no more, and take back those to which nothing came.

    What is not told now is told as other commands are.
    """
    async with transaction(engine) as connection:
        await take_back_empty(connection)
        started = await commit_idle(connection, idle)
    await tell(*started)


async def _silent_commands(connection: AsyncConnection) -> list[CommandReceived]:
    """Commands without an outcome that nobody was told of, or not for a while; they wait, or a message was lost.

    Refreshes may take long and are told less often.
    """
    columns, now = commands.c, datetime.now(UTC)
    is_due = sa.or_(
        sa.and_(columns.told_at.is_(None), columns.received_at < now - timedelta(seconds=UNTOLD_SECONDS)),
        sa.and_(columns.told_at < now - timedelta(seconds=SWEEP_SECONDS), columns.kind != CommandKind.REFRESH),
        columns.told_at < now - timedelta(seconds=SILENT_SECONDS),
    )
    silent = (
        sa.select(columns.id)
        .where(columns.outcome.is_(None), is_due)
        .order_by(sa.func.coalesce(columns.told_at, columns.received_at))
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = list(await connection.scalars(silent))
    await connection.execute(sa.update(commands).where(columns.id.in_(ids)).values(told_at=now))
    return [CommandReceived(command_id=command_id) for command_id in ids]


async def _silent_changes(connection: AsyncConnection) -> list[SessionChanged]:
    """The oldest first. Those whose work has failed come last and once an hour: each telling may be parked again."""
    columns = session_changes.c
    has_failed = [
        sa.exists().where(table.c.id == work_id, table.c.outcome == "failed")
        for table, work_id in ((imports, columns.import_id), (commands, columns.command_id))
    ]
    age = sa.cast(sa.func.extract("epoch", sa.func.now() - columns.changed_at), sa.Integer)
    query = (
        sa.select(
            sa.func.coalesce(columns.import_id, columns.command_id).label("work_id"),
            columns.session_id,
            columns.revision,
        )
        .where(columns.catalogued_at.is_(None), columns.changed_at < _silent_since())
        .where(sa.or_(sa.not_(sa.or_(*has_failed)), sa.func.mod(age, FAILED_SECONDS) < 2 * SWEEP_SECONDS))
        .order_by(sa.or_(*has_failed), columns.changed_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    rows = await connection.execute(query)
    return [SessionChanged(import_id=r.work_id, session_id=r.session_id, revision=r.revision) for r in rows]


async def _silent_imports(connection: AsyncConnection) -> list[ImportStaged]:
    columns = imports.c
    query = (
        sa.select(columns.id)
        .where(columns.outcome.is_(None), columns.staged_at < _silent_since())
        .where(sa.or_(columns.merged_at.is_(None), columns.merged_at < _silent_since()))
        .order_by(columns.staged_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return [ImportStaged(import_id=import_id) for import_id in await connection.scalars(query)]


def _silent_since() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=SILENT_SECONDS)

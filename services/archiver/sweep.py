"""Tells again what was not answered: a message that is lost costs a minute, not an import."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import telemetry
from libs.common.broker import Output
from libs.common.database import transaction
from libs.common.errors import Retryable
from libs.common.messages import ImportStaged, SessionChanged
from libs.common.schema import imports, session_changes

SWEEP_SECONDS = 15
SILENT_SECONDS = 60
AT_ONCE = 100


class Tell(Protocol):
    """How a message is published."""

    async def __call__(self, *outputs: Output) -> None:
        """Publish, confirmed. Raises `Retryable`."""


async def sweep(engine: AsyncEngine, tell: Tell) -> None:
    """Look every `SWEEP_SECONDS`, until cancelled. Replicas skip what another one is telling."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await tell_again(engine, tell)
        except Retryable as error:
            telemetry.log().warning("sweep failed", code=error.code)


async def tell_again(engine: AsyncEngine, tell: Tell) -> None:
    """Tell the changes that nobody has catalogued, and the staged imports that nobody has ended. Safe to repeat."""
    async with transaction(engine) as connection:
        await tell(*await _silent_changes(connection), *await _silent_imports(connection))


async def _silent_changes(connection: AsyncConnection) -> list[SessionChanged]:
    columns = session_changes.c
    query = (
        sa.select(
            sa.func.coalesce(columns.import_id, columns.command_id).label("work_id"),
            columns.session_id,
            columns.revision,
        )
        .where(columns.catalogued_at.is_(None), columns.changed_at < _silent_since())
        .order_by(columns.changed_at)
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

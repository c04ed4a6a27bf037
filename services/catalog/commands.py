"""What the catalog service does with commands: those that are its own kind, and nothing with the archiver's."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.command_rows import CommandRow, end_work, finish_if_catalogued, load_command, mark_done
from libs.common.commands import CommandKind, Refresh
from libs.common.database import transaction
from libs.common.errors import Retryable
from libs.common.messages import CommandReceived, Output, SessionChanged
from libs.common.outbox import Site
from libs.common.schema import commands, session_changes
from libs.common.storage import ObjectStore
from services.catalog.refresh_division import PartState, divide, load_parts, put_together
from services.catalog.refresh_parts import LIMITS, Limits
from services.catalog.refresh_run import run_refresh


async def run_command(
    message: CommandReceived, store: ObjectStore, engine: AsyncEngine, site: Site, limits: Limits = LIMITS
) -> Sequence[Output]:
    """Refresh what the command names; a large refresh becomes parts, whose end is its own.

    Safe to repeat: what is done is only told again, what is in hand elsewhere is left there.

    Raises:
        UserError: the session is not there any more.
        Retryable: a server is away, or the command's row is not there (yet).
    """
    async with transaction(engine) as connection:
        row = await load_command(connection, message.command_id)
        asked = row.command
        if not isinstance(asked, Refresh):
            return []
        parts = [] if row.is_done else await load_parts(connection, row)
    if parts:
        return await _conclude(engine, row, parts)
    if not row.is_done and not row.is_ended:
        told = await divide(row, asked, store, engine, limits) if row.parent_id is None else None
        if told is not None:
            return told
        async with transaction(engine) as alone:
            if not await _take(alone, row):
                return []
            await run_refresh(row, asked, store, engine, site)
    async with transaction(engine) as connection:
        ended = [*await finish_if_catalogued(connection, row.id), *await _waiting(connection, row)]
        return [*await _untold(connection, row), *ended]


async def _take(connection: AsyncConnection, row: CommandRow) -> bool:
    """Whether nobody else has this command in hand: what is told again while it runs would read everything twice.

    It is held as long as the transaction, and told again until it ends, so a process that is lost costs a minute.
    """
    lock = sa.func.pg_try_advisory_xact_lock(sa.func.hashtextextended(f"refresh/{row.id}", 0))
    return bool(await connection.scalar(sa.select(lock)))


async def _untold(connection: AsyncConnection, row: CommandRow) -> list[SessionChanged]:
    columns = session_changes.c
    changes = await connection.execute(
        sa.select(columns.session_id, columns.revision)
        .where(columns.command_id == row.id, columns.catalogued_at.is_(None))
        .order_by(columns.revision)
    )
    return [SessionChanged(import_id=row.id, session_id=r.session_id, revision=r.revision) for r in changes]


async def _waiting(connection: AsyncConnection, row: CommandRow) -> list[CommandReceived]:
    """The archiver's commands on the session: one that came later has waited for the refresh (docs/flow.md, Turns)."""
    columns = commands.c
    ids = await connection.scalars(
        sa.select(columns.id).where(
            columns.session_id == row.session_id,
            columns.kind != CommandKind.REFRESH,
            columns.done_at.is_(None),
            columns.outcome.is_(None),
        )
    )
    return [CommandReceived(command_id=command_id) for command_id in ids]


async def _conclude(engine: AsyncEngine, row: CommandRow, parts: Sequence[PartState]) -> Sequence[Output]:
    """End a command whose parts have all ended: as one of them if that has failed."""
    together = put_together(parts)
    if not together.is_ended or row.is_ended:
        return []
    async with transaction(engine) as connection:
        await mark_done(connection, row.id, together.result, together.problem)
    if isinstance(together.problem, Retryable):
        return await end_work(engine, row.id, "failed", together.problem)
    async with transaction(engine) as connection:
        return [*await finish_if_catalogued(connection, row.id), *await _waiting(connection, row)]

"""The rows of commands, as far as two services need them: read, done, finished, ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.commands import Command, CommandKind, CommandResult, read_command
from libs.common.database import end_import, transaction
from libs.common.errors import Retryable, ScandockError
from libs.common.messages import CommandReceived, ImportFinished, ImportStaged
from libs.common.schema import commands, imports, session_changes
from libs.common.waiting import waiting_on_import, waiting_on_session


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A row of `commands`."""

    id: UUID
    login: str
    kind: CommandKind
    command: Command
    session_id: str | None
    parent_id: UUID | None
    is_done: bool
    is_ended: bool


async def load_command(connection: AsyncConnection, command_id: UUID, *, lock: bool = False) -> CommandRow:
    """The command, locked against its other deliveries if `lock`. Raises `Retryable` if its row is not there (yet)."""
    query = sa.select(commands).where(commands.c.id == command_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise Retryable("command-unknown", f"command {command_id} has no row")
    return CommandRow(
        id=row.id,
        login=row.login,
        kind=CommandKind(row.kind),
        command=read_command(row.request),
        session_id=row.session_id,
        parent_id=row.parent_id,
        is_done=row.done_at is not None,
        is_ended=row.outcome is not None,
    )


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command that is to be written. `session_id` is the session that it is about."""

    id: UUID
    login: str
    command: Command
    session_id: str | None = None
    parent_id: UUID | None = None
    listener: str | None = None


async def add_command(connection: AsyncConnection, new: NewCommand) -> CommandReceived:
    """Write a command's row, once; what is to be told of it when the transaction has committed. Safe to repeat."""
    await connection.execute(
        insert(commands)
        .values(
            id=new.id,
            login=new.login,
            kind=new.command.kind,
            request=new.command.model_dump(mode="json"),
            session_id=new.session_id,
            parent_id=new.parent_id,
            listener=new.listener,
        )
        .on_conflict_do_nothing()
    )
    return CommandReceived(command_id=new.id)


async def mark_done(
    connection: AsyncConnection, command_id: UUID, result: CommandResult, problem: ScandockError | None = None
) -> None:
    """Note, in the transaction of its effect, that a command is done, or what it is refused for."""
    await connection.execute(
        sa.update(commands)
        .where(commands.c.id == command_id, commands.c.done_at.is_(None))
        .values(
            done_at=datetime.now(UTC),
            result=result.model_dump(mode="json"),
            code="" if problem is None else problem.code,
            detail="" if problem is None else problem.detail,
        )
    )


async def finish_if_catalogued(connection: AsyncConnection, command_id: UUID) -> Sequence[CommandReceived]:
    """Give a command that is done its outcome, if each of its changes is catalogued and each of its parts has ended.

    The parent of a part that ends, or has ended, is told of, so that whoever does it looks again. Safe to repeat.
    """
    columns = commands.c
    row = (
        await connection.execute(
            sa.select(columns.done_at, columns.outcome, columns.code, columns.parent_id)
            .where(columns.id == command_id)
            .with_for_update()
        )
    ).one_or_none()
    if row is None or (row.done_at is None and row.outcome is None):
        return []
    told = [] if row.parent_id is None else [CommandReceived(command_id=row.parent_id)]
    if row.outcome is not None:
        return told
    changes = session_changes.c
    pending = sa.select(sa.func.count()).where(changes.command_id == command_id, changes.catalogued_at.is_(None))
    parts = sa.select(sa.func.count()).where(columns.parent_id == command_id, columns.outcome.is_(None))
    if (await connection.execute(pending)).scalar_one() or (await connection.execute(parts)).scalar_one():
        return []
    await connection.execute(
        sa.update(commands)
        .where(columns.id == command_id)
        .values(outcome="rejected" if row.code else "completed", finished_at=datetime.now(UTC))
    )
    return told


async def end_work(
    engine: AsyncEngine, work_id: UUID, outcome: str, error: ScandockError
) -> list[ImportFinished | ImportStaged | CommandReceived]:
    """End the import or command that a message belongs to, unless it has its outcome already; what waited goes on.

    Safe to repeat.
    """
    async with transaction(engine) as connection:
        is_import = await connection.scalar(sa.select(imports.c.id).where(imports.c.id == work_id)) is not None
        if not is_import:
            return list(await _end_command(connection, work_id, outcome, error))
    ended = await end_import(engine, work_id, outcome, error)
    async with transaction(engine) as connection:
        return [*ended, *await waiting_on_import(connection, work_id)]


async def _end_command(
    connection: AsyncConnection, command_id: UUID, outcome: str, error: ScandockError
) -> Sequence[CommandReceived]:
    columns = commands.c
    ended = await connection.execute(
        sa.update(commands)
        .where(columns.id == command_id, columns.outcome.is_(None))
        .values(outcome=outcome, code=error.code, detail=error.detail, finished_at=datetime.now(UTC))
        .returning(columns.parent_id, columns.session_id)
    )
    row = ended.one_or_none()
    if row is None:
        return []
    parents = [] if row.parent_id is None else [CommandReceived(command_id=row.parent_id)]
    return [*parents, *await waiting_on_session(connection, row.session_id)] if row.session_id else parents

"""What the archiver does with commands: each in one transaction, on its session, in its turn (docs/flow.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.command_rows import CommandRow, finish_if_catalogued, load_command, mark_done
from libs.common.commands import (
    Archive,
    Build,
    CommandKind,
    CommandResult,
    Commit,
    Delete,
    Move,
    Purge,
    Refresh,
    Restore,
    SetStatus,
    Validate,
)
from libs.common.database import transaction
from libs.common.errors import ScandockError, UserError
from libs.common.messages import CommandReceived, Output, SessionChanged
from libs.common.outbox import Origin, Site
from libs.common.schema import session_changes
from libs.common.waiting import waiting_on_session
from services.archiver.archiving import Archived, archive_entry
from services.archiver.building import build_entry
from services.archiver.committing import commit_entry
from services.archiver.handlers import raced
from services.archiver.lifecycle import delete_session, move_entry, purge_session, set_status, where_is
from services.archiver.restoring import restore_session
from services.archiver.stored import Wanted
from services.archiver.turns import must_wait
from services.archiver.validating import validate_entry


@dataclass(frozen=True)
class _Done:
    """What came of a command; `problem` where its session was changed to say why not."""

    result: CommandResult
    problem: ScandockError | None = None


async def run_command(message: CommandReceived, engine: AsyncEngine, site: Site) -> Sequence[Output]:
    """Do what a command says to its session, when its turn has come.

    Safe to repeat: what is done is only told again. A command that must wait is left undone, and told again when what
    it waits for ends. What is refused changes nothing but what says so.

    Raises:
        Retryable: the database is away, or another session has taken the name at the same moment.
    """
    try:
        async with transaction(engine) as connection:
            row = await load_command(connection, message.command_id, lock=True)
            if row.kind is CommandKind.REFRESH or row.is_ended:
                return []
            if not row.is_done:
                if await must_wait(connection, row):
                    return []
                done = await _attempt(connection, row, site)
                await mark_done(connection, row.id, done.result, done.problem)
    except IntegrityError as error:
        raise raced(error) from error
    return await _tell(engine, row)


async def _attempt(connection: AsyncConnection, row: CommandRow, site: Site) -> _Done:
    try:
        async with connection.begin_nested():
            return await _do(connection, row, site)
    except UserError as error:
        return _Done(CommandResult(session_id=row.session_id or ""), error)


async def _do(connection: AsyncConnection, row: CommandRow, site: Site) -> _Done:
    if row.session_id is None:
        return _Done(CommandResult())  # it has parts, and ends with them
    session_id, origin = row.session_id, Origin(row.login, command_id=row.id)
    match row.command:
        case Commit() as commit:
            return _archived(await commit_entry(connection, session_id, commit, origin, site))
        case Archive() as archive:
            return _archived(await archive_entry(connection, session_id, Wanted(archive), origin, site))
        case Validate(archive=archive):
            lines = await validate_entry(connection, session_id, Wanted(archive))
            return _Done(CommandResult(session_id=session_id, lines=lines))
        case Build(fields=fields):
            session_id = (await build_entry(connection, session_id, fields, origin, site))[0]
        case Move(project=project):
            await move_entry(connection, session_id, project, origin, site)
        case Delete():
            await delete_session(connection, session_id, origin, site)
        case SetStatus(status=status):
            await set_status(connection, session_id, status, origin, site)
        case Restore(revision=revision):
            await restore_session(connection, session_id, revision, origin, site)
        case Purge():
            await purge_session(connection, session_id)
        case Refresh():
            raise AssertionError("the catalog service's")
        case _ as never:
            assert_never(never)
    return _Done(CommandResult(uri=await where_is(connection, session_id), session_id=session_id))


def _archived(archived: Sequence[Archived]) -> _Done:
    """Of two halves, the one that waits says why; else the first one says where it is."""
    told = next((one for one in archived if one.problem is not None), archived[0])
    problem = None if told.problem is None else UserError(told.problem.code, told.problem.detail)
    return _Done(CommandResult(uri=told.uri, session_id=told.session_id), problem)


async def _tell(engine: AsyncEngine, row: CommandRow) -> Sequence[Output]:
    """The changes that are not catalogued, or the command's end if there is none; and whose turn it is now."""
    async with transaction(engine) as connection:
        columns = session_changes.c
        rows = await connection.execute(
            sa.select(columns.session_id, columns.revision)
            .where(columns.command_id == row.id, columns.catalogued_at.is_(None))
            .order_by(columns.session_id, columns.revision)
        )
        changed = [SessionChanged(import_id=row.id, session_id=r.session_id, revision=r.revision) for r in rows]
        parents = await finish_if_catalogued(connection, row.id)
        waiting = [] if row.session_id is None else await waiting_on_session(connection, row.session_id)
        return [*changed, *parents, *waiting]

"""Commands as the gateway leaves them, run by the archiver and catalogued, for the tests of commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import sqlalchemy as sa

from libs.common.command_rows import NewCommand, add_command, finish_if_catalogued
from libs.common.commands import Command, CommandResult
from libs.common.database import transaction
from libs.common.messages import CommandReceived, Output
from libs.common.schema import commands, session_changes, sessions
from services.archiver.commands import run_command
from tests.integration.routed import AT, Archive


@dataclass(frozen=True)
class Ended:
    """What became of a command."""

    id: UUID
    outcome: str | None
    code: str
    detail: str
    result: CommandResult


async def give(archive: Archive, session_id: str | None, command: Command) -> UUID:
    """Write a command's row."""
    command_id = uuid4()
    async with transaction(archive.engine) as connection:
        await add_command(connection, NewCommand(command_id, "admin", command, session_id))
    return command_id


async def run(archive: Archive, command_id: UUID) -> Sequence[Output]:
    """Deliver its message once."""
    return await run_command(CommandReceived(command_id=command_id), archive.engine, archive.site)


async def catalogue(archive: Archive, command_id: UUID) -> None:
    """Mark its changes as the catalog service does, and end it."""
    async with transaction(archive.engine) as connection:
        await connection.execute(
            sa.update(session_changes).where(session_changes.c.command_id == command_id).values(catalogued_at=AT)
        )
        await finish_if_catalogued(connection, command_id)


async def ended(archive: Archive, command_id: UUID) -> Ended:
    """What became of it."""
    row = await archive.row(sa.select(commands).where(commands.c.id == command_id))
    result = CommandResult.model_validate(row["result"])
    outcome = None if row["outcome"] is None else str(row["outcome"])
    return Ended(command_id, outcome, str(row["code"]), str(row["detail"]), result)


async def do(archive: Archive, session_id: str | None, command: Command) -> Ended:
    """Give a command, run it twice, catalogue what it has changed: what became of it."""
    command_id = await give(archive, session_id, command)
    await run(archive, command_id)
    before = await everything(archive)
    await run(archive, command_id)
    assert await everything(archive) == before, "the second delivery changed something"
    await catalogue(archive, command_id)
    return await ended(archive, command_id)


async def everything(archive: Archive) -> list[list[dict[str, object]]]:
    """All that commands change, but the commands."""
    tables = "sessions", "scans", "resources", "files", "replaced_files", "session_changes", "subjects"
    return [await archive.rows(sa.text(f"select * from {table} order by 1, 2")) for table in tables]


async def session(archive: Archive, session_id: str) -> dict[str, object]:
    """A session's row."""
    return await archive.row(sa.select(sessions).where(sessions.c.id == session_id))


async def receiving(archive: Archive, session_id: str, **values: object) -> None:
    """Have an entry be one that imports share and that still receives."""
    told = {"status": "RECEIVING", "is_shared": True, "xsi_type": "", **values}
    await archive.execute(sa.update(sessions).where(sessions.c.id == session_id).values(**told))


async def verbs(archive: Archive, session_id: str) -> list[str]:
    """What is told of a session, in order."""
    query = sa.select(session_changes.c.verb).where(session_changes.c.session_id == session_id).order_by("revision")
    return [str(row["verb"]) for row in await archive.rows(query)]

"""`scandock session …`: what an operator does to a session; the archiver does it, this waits for the outcome."""

import asyncio
import getpass
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID, uuid4

import sqlalchemy as sa
import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.broker import Broker
from libs.common.command_rows import NewCommand, add_command
from libs.common.commands import Command, CommandResult, Delete, Purge, Restore
from libs.common.database import open_engine, transaction
from libs.common.errors import Retryable, ScandockError, UserError
from libs.common.schema import commands, sessions
from libs.common.settings import Settings

session_app = typer.Typer(help="Sessions: restore, delete, purge.", no_args_is_help=True)
SessionName = Annotated[str, typer.Argument(help="Session ID, or project/label of one that is or was archived")]
LOOK_SECONDS = 0.3
WAIT_SECONDS = 600
Result = TypeVar("Result")


@session_app.command("deleted")
def list_deleted(project: Annotated[str, typer.Option(help="Of this project alone")] = "") -> None:
    """Show the sessions that can be restored: ID, project, label, where it was, when it was deleted."""
    for row in _run(lambda engine, _: _deleted(engine, project)):
        typer.echo("\t".join(row))


@session_app.command("restore")
def restore(
    session: SessionName,
    revision: Annotated[int | None, typer.Option(help="Undo the replacing of files at this revision")] = None,
) -> None:
    """Bring a deleted session back; or, in one that is there, the files that its last change has replaced."""
    result = _do(session, Restore(revision=revision))
    typer.echo(f"restored {result.session_id}: {result.uri}")


@session_app.command("delete")
def delete(session: SessionName) -> None:
    """Take a session away. Until the grace time ends, `scandock session restore` brings it back."""
    result = _do(session, Delete())
    typer.echo(f"deleted {result.session_id}")


@session_app.command("purge")
def purge(
    session: SessionName,
    reason: Annotated[str, typer.Option(help="Why; kept for the audit")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Remove a deleted session for good: nothing brings it back. Its objects go with the next garbage collection."""
    if not reason.strip():
        raise typer.BadParameter("a purge needs a --reason")
    if not yes:
        typer.confirm(f"Remove {session} for good? Nothing brings it back.", abort=True)
    result = _do(session, Purge(reason=reason))
    typer.echo(f"purged {result.session_id}")


def _do(session: str, command: Command) -> CommandResult:
    return _run(lambda engine, broker: do(engine, broker, session, command))


async def do(engine: AsyncEngine, broker: Broker, session: str, command: Command) -> CommandResult:
    """Have a command done to a session, and wait for its outcome. Raises `UserError` where it is refused."""
    session_id = await find_session(engine, session)
    command_id = uuid4()
    async with transaction(engine) as connection:
        told = await add_command(connection, NewCommand(command_id, _login(), command, session_id))
    await broker.publish(told)
    return await _wait(engine, command_id)


async def find_session(engine: AsyncEngine, named: str) -> str:
    """A session by its ID; else by project and label the archived one, or the last deleted that can be restored.

    Raises:
        UserError: there is none.
    """
    project, _, label = named.partition("/")
    columns = sessions.c
    is_there = sa.or_(columns.place == "archive", columns.deleted_from == "archive")
    is_named = sa.and_(columns.project == project, columns.label == label, is_there)
    query = (
        sa.select(columns.id)
        .where(sa.or_(columns.id == named, is_named))
        .order_by(columns.id != named, columns.place, columns.deleted_at.desc())
        .limit(1)
    )
    async with transaction(engine) as connection:
        session_id: str | None = await connection.scalar(query)
    if session_id is None:
        raise UserError("not-found", f"There is no session {named}: name it by its ID, or as project/label.")
    return session_id


async def _wait(engine: AsyncEngine, command_id: UUID) -> CommandResult:
    columns, deadline = commands.c, time.monotonic() + WAIT_SECONDS
    query = sa.select(columns.outcome, columns.done_at, columns.code, columns.detail, columns.result)
    while time.monotonic() < deadline:
        async with transaction(engine) as connection:
            row = (await connection.execute(query.where(columns.id == command_id))).one()
        _show("" if row.outcome else "writing catalogs" if row.done_at else "waiting for its turn")
        if row.outcome == "completed":
            return CommandResult.model_validate(row.result)
        if row.outcome is not None:
            raise UserError(row.code, row.detail)
        await asyncio.sleep(LOOK_SECONDS)
    raise Retryable("command-unfinished", f"command {command_id} goes on, but takes long")


def _show(progress: str) -> None:
    """How far it is, on one line that is written again; only where somebody looks."""
    if sys.stderr.isatty():
        typer.echo(f"\r{progress:<24}\r", nl=False, err=True)


async def _deleted(engine: AsyncEngine, project: str) -> list[tuple[str, ...]]:
    columns = sessions.c
    query = sa.select(columns.id, columns.project, columns.label, columns.deleted_from, columns.deleted_at).where(
        columns.place == "deleted", columns.deleted_from != ""
    )
    if project:
        query = query.where(columns.project == project)
    async with transaction(engine) as connection:
        rows = (await connection.execute(query.order_by(columns.deleted_at))).all()
    return [
        (row.id, row.project or "Unassigned", row.label, row.deleted_from, row.deleted_at.isoformat(timespec="seconds"))
        for row in rows
    ]


def _login() -> str:
    """Who sits at the terminal: a purge's audit names him."""
    return f"cli:{getpass.getuser()}"


def _run(step: Callable[[AsyncEngine, Broker], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        settings = Settings()
        engine, broker = open_engine(settings.database_url, 1), Broker(settings.amqp_url, "cli")
        try:
            return await step(engine, broker)
        finally:
            await broker.close()
            await engine.dispose()

    try:
        return asyncio.run(run())
    except ScandockError as error:
        typer.echo(error.detail if isinstance(error, UserError) else f"{error.code}: {error.detail}", err=True)
        raise typer.Exit(1) from error

"""What a listener is told, from the rows of its imports or commands (import semantics §10): durable, on any replica."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.commands import CommandKind
from libs.common.schema import commands, import_sources, imports
from services.gateway.commands import state_of
from services.gateway.imports import outcomes

ARCHIVED = "/archive/"


class Level(StrEnum):
    """XNAT's words for how serious a line is."""

    PROCESSING = "PROCESSING"
    WARNING = "WARNING"
    FAILED = "FAILED"
    COMPLETED = "COMPLETED"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a progress; after a terminal one nothing follows. `at` is None where its time is not known."""

    level: Level
    text: str
    is_terminal: bool = False
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How the work ended: where its sessions are, or why there are none. `separator` is that of the URIs."""

    uris: tuple[str, ...]
    problem: str | None
    at: datetime | None
    separator: str = ";"


async def load_lines(connection: AsyncConnection, login: str, listener: str) -> list[Line]:
    """What has happened so far with the newest work of this listener; nothing for another user's, or none."""
    newest = [
        sa.select(table.c.received_at).where(table.c.login == login, table.c.listener == listener)
        for table in (imports, commands)
    ]
    times = sa.union_all(*newest).subquery()
    at = await connection.scalar(sa.select(sa.func.max(times.c.received_at)))
    if at is None:
        return []
    found = await _import_lines(connection, login, listener, at)
    return found or await _command_lines(connection, login, listener, at)


async def _import_lines(connection: AsyncConnection, login: str, listener: str, at: datetime) -> list[Line]:
    columns = imports.c
    query = sa.select(imports).where(columns.login == login, columns.listener == listener, columns.received_at == at)
    row = (await connection.execute(query.limit(1))).one_or_none()
    if row is None:
        return []
    names = await connection.scalars(
        sa.select(import_sources.c.name)
        .where(import_sources.c.import_id == row.id, import_sources.c.name != "")
        .order_by(import_sources.c.ordinal)
    )
    steps = [("Beginning import", row.received_at), ("Determining destination", row.received_at)]
    steps += [(f"Importing file ({name} )", row.received_at) for name in names]
    steps += [("Importing sessions to the prearchive", row.listed_at), ("validating loaded data", row.staged_at)]
    lines = [Line(Level.PROCESSING, text, at=moment) for text, moment in steps if moment is not None]
    if row.outcome is None:
        return lines
    found = await outcomes(connection, row.id)
    uris = tuple(dict.fromkeys(each.uri for each in found if each.uri))
    problem = None if row.outcome == "completed" else row.detail or row.code
    separator = "," if row.request.get("handler") == "XAR" else ";"
    return [*lines, *ending_lines(Ending(uris, problem, row.finished_at, separator))]


async def _command_lines(connection: AsyncConnection, login: str, listener: str, at: datetime) -> list[Line]:
    """One line a session that has ended; the last one when all have."""
    columns = commands.c
    query = sa.select(commands).where(columns.login == login, columns.listener == listener, columns.received_at == at)
    rows = (await connection.execute(query.order_by(columns.finished_at.nulls_last(), columns.id))).all()
    states = [state_of(row) for row in rows]
    lines = [Line(Level.PROCESSING, _BEGUN.get(states[0].kind, "Processing"), at=at)]
    problems = [state.problem.detail for state in states if state.outcome and state.problem]
    if any(state.outcome is None for state in states):
        return [*lines, *(Line(Level.WARNING, problem) for problem in problems)]
    uris = tuple(state.result.uri for state in states if state.problem is None and state.result.uri)
    warnings = [Line(Level.WARNING, problem) for problem in problems[:-1]]
    problem = problems[-1] if problems else None
    return [*lines, *warnings, *ending_lines(Ending(uris, problem, rows[-1].finished_at))]


_BEGUN = {CommandKind.ARCHIVE: "archiving session", CommandKind.COMMIT: "Creating XML for DICOM sessions"}


def ending_lines(ending: Ending) -> list[Line]:
    """The last lines: `Archive:` or `Prearchive:` and the URIs, or what it failed for (§10)."""
    archived = [uri for uri in ending.uris if uri.startswith(ARCHIVED)]
    waiting = [uri for uri in ending.uris if not uri.startswith(ARCHIVED)]
    if ending.problem is not None:
        there = [Line(Level.WARNING, _text(ending.uris, ending.separator), at=ending.at)] if ending.uris else []
        return [*there, Line(Level.FAILED, ending.problem, is_terminal=True, at=ending.at)]
    lines = []
    if archived and waiting:
        lines.append(Line(Level.WARNING, _text(waiting, ending.separator), at=ending.at))
    last = _text(archived or waiting, ending.separator)
    return [*lines, Line(Level.COMPLETED, last, is_terminal=True, at=ending.at)]


def _text(uris: Sequence[str], separator: str) -> str:
    if not uris:
        return "Nothing is left of it."
    word = "Archive" if all(uri.startswith(ARCHIVED) for uri in uris) else "Prearchive"
    return f"{word}:{separator.join(uris)}"

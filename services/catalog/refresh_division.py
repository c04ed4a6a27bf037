"""A refresh that is too large for one message: cut into parts that any replica does, and put together at their end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.command_rows import CommandRow, NewCommand, add_command, load_command
from libs.common.commands import CommandResult, Refresh, RefreshOption
from libs.common.database import transaction
from libs.common.errors import Retryable, ScandockError, UserError
from libs.common.messages import CommandReceived, derive
from libs.common.schema import commands
from libs.common.storage import ObjectStore
from services.catalog import refresh_rows as rows
from services.catalog.refresh import ByHand, union
from services.catalog.refresh_objects import list_by_hand
from services.catalog.refresh_parts import Limits, Load, Name, Part, fits, split
from services.catalog.refresh_rows import Folder


@dataclass(frozen=True, slots=True)
class _Survey:
    """What there is to do: folders with rows, and the objects in each folder that have none."""

    folders: Mapping[str, Folder]
    totals: Mapping[int, rows.Totals]
    found: Mapping[str, Sequence[ByHand]]
    reads_all: bool

    def loads(self) -> dict[str, Load]:
        """Folder -> what its refresh has to do."""
        return {path: self._load(path) for path in sorted(self.folders.keys() | self.found.keys())}

    def _load(self, path: str) -> Load:
        found = self.found.get(path, ())
        load = Load(len(found), len(found), sum(one.size_bytes for one in found))
        folder = self.folders.get(path)
        there = None if folder is None or folder.resource is None else self.totals.get(folder.resource)
        if there is None:
            return load
        return load + Load(there.files, *((there.files, there.size_bytes) if self.reads_all else (0, 0)))


async def divide(
    row: CommandRow, asked: Refresh, store: ObjectStore, engine: AsyncEngine, limits: Limits
) -> list[CommandReceived] | None:
    """Write the parts of a refresh, as commands of their own, and what to tell of them; None if it needs no parts.

    Safe to repeat, also at the same time: who comes second finds the parts of the first, which are told by the sweep.
    """
    survey = await _survey(row, asked, store, engine)
    loads = survey.loads()
    if fits(loads, limits):
        return None
    async with transaction(engine) as connection:
        names = {path: await _names(connection, survey, path) for path, load in loads.items() if load.exceeds(limits)}
    parts = split(loads, names, limits)
    if len(parts) == 1:
        return None
    async with transaction(engine) as connection:
        await load_command(connection, row.id, lock=True)
        if await load_parts(connection, row):
            return []
        return [await add_command(connection, _new(row, asked, ordinal, part)) for ordinal, part in enumerate(parts)]


async def _survey(row: CommandRow, asked: Refresh, store: ObjectStore, engine: AsyncEngine) -> _Survey:
    async with transaction(engine) as connection:
        session = await rows.load_session(connection, row.session_id)
        folders = await rows.load_folders(connection, session, asked)
        totals = await rows.load_totals(connection, folders.values())
    found: dict[str, list[ByHand]] = {}
    if RefreshOption.APPEND in asked.options:
        hand = await list_by_hand(store, session.prefix, asked)
        async with transaction(engine) as connection:
            owned = await rows.load_owned(connection, [one.object_key for each in hand.files.values() for one in each])
        unowned = {path: [one for one in each if one.object_key not in owned] for path, each in hand.files.items()}
        found = {path: each for path, each in unowned.items() if each}
    return _Survey(folders, totals, found, RefreshOption.CHECKSUM in asked.options)


async def _names(connection: AsyncConnection, survey: _Survey, path: str) -> list[Name]:
    names = [Name(one.name, one.size_bytes) for one in survey.found.get(path, ())]
    if path in survey.folders:
        names += await rows.load_names(connection, survey.folders[path], is_read=survey.reads_all)
    return names


def _new(row: CommandRow, asked: Refresh, ordinal: int, part: Part) -> NewCommand:
    return NewCommand(
        id=derive("refresh", row.id, ordinal),
        login=row.login,
        command=Refresh(folders=part.folders, names=part.names, options=asked.options),
        session_id=row.session_id,
        parent_id=row.id,
    )


@dataclass(frozen=True, slots=True)
class PartState:
    """How one part stands; `problem` is why it has not done its work."""

    is_ended: bool
    result: CommandResult
    problem: ScandockError | None


async def load_parts(connection: AsyncConnection, row: CommandRow) -> list[PartState]:
    """The parts of a command, in their order; none where it was not divided."""
    columns = commands.c
    query = (
        sa.select(columns.outcome, columns.code, columns.detail, columns.result)
        .where(columns.parent_id == row.id)
        .order_by(columns.received_at, columns.id)
    )
    return [
        PartState(
            is_ended=part.outcome is not None,
            result=CommandResult.model_validate(part.result),
            problem=_problem(part.outcome, part.code, part.detail),
        )
        for part in await connection.execute(query)
    ]


def _problem(outcome: str | None, code: str, detail: str) -> ScandockError | None:
    match outcome:
        case "rejected":
            return UserError(code, detail)
        case "failed":
            return Retryable(code, detail)
    return None


def put_together(parts: Sequence[PartState]) -> PartState:
    """What all parts have done, also beside one that failed, whose reason is that of the whole (pure)."""
    lines = union(line for part in parts for line in part.result.refreshed)
    first = next((part.result for part in parts if part.result.uri), CommandResult())
    result = CommandResult(uri=first.uri, session_id=first.session_id, refreshed=tuple(lines))
    problem = next((part.problem for part in parts if part.problem is not None), None)
    return PartState(all(part.is_ended for part in parts), result, problem)

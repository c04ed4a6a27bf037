"""The `commands` rows: accepted once, told for sure, looked at until they have an outcome (docs/flow.md)."""

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import telemetry
from libs.common.broker import Broker
from libs.common.command_rows import NewCommand, add_command
from libs.common.commands import Command, CommandKind, CommandResult
from libs.common.database import transaction
from libs.common.errors import Retryable, ScandockError, UserError
from libs.common.messages import CommandReceived
from libs.common.schema import commands
from services.gateway.waiting import Waiting

LOOK_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Between two looks at an outcome; the last one repeats."""
LEAVES = frozenset({CommandKind.COMMIT, CommandKind.ARCHIVE, CommandKind.MOVE, CommandKind.DELETE, CommandKind.PURGE})
"""What may take a session away: nothing else is accepted for it until that has ended (import semantics §7.8, §9.3)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One command that a client asks for."""

    session_id: str
    command: Command


@dataclass(frozen=True, slots=True)
class State:
    """How a command stands: done once its effect is committed; `outcome` is None until its documents are written."""

    id: UUID
    login: str
    session_id: str | None
    kind: CommandKind
    is_done: bool
    outcome: str | None
    code: str
    detail: str
    result: CommandResult

    @property
    def problem(self) -> ScandockError | None:
        """Why it has not done what it was to do; None if it has."""
        match self.outcome:
            case "completed":
                return None
            case "rejected":
                return UserError(self.code, self.detail)
            case "failed":
                return Retryable("command-failed", f"It failed on our side ({self.code}): command {self.id}.")
            case _:
                return Retryable("command-unfinished", f"It goes on, but takes long: see {self.address}.")

    @property
    def address(self) -> str:
        """Where it says how it stands."""
        return address_of(self.id)


def address_of(command_id: UUID) -> str:
    """Where a command says how it stands."""
    return f"/data/services/command/{command_id}"


async def accept(engine: AsyncEngine, login: str, wanted: Sequence[Wanted], listener: str | None = None) -> list[UUID]:
    """Write a row for each command, all or none, in their order.

    Who asks again for what he has running already joins it: a repeat after a lost answer changes nothing. A commit may
    follow another, such as one that came because nothing else did: it finds done what it wants.

    Raises:
        UserError: something else that may take the session away is going on (`operation-in-progress`, 403 as XNAT).
    """
    made: dict[int, UUID] = {}
    async with transaction(engine) as connection:
        for position, one in sorted(enumerate(wanted), key=lambda each: each[1].session_id):
            made[position] = await _accept(connection, login, one, listener)
    return [made[position] for position in range(len(wanted))]


async def _accept(connection: AsyncConnection, login: str, wanted: Wanted, listener: str | None) -> UUID:
    # two that arrive at the same moment: the second waits here, and finds the first
    lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"command/{wanted.session_id}", 0))
    await connection.execute(sa.select(lock))
    columns, request = commands.c, wanted.command.model_dump(mode="json")
    query = sa.select(columns.id, columns.login, columns.kind, columns.request).where(
        columns.session_id == wanted.session_id, columns.outcome.is_(None)
    )
    for row in await connection.execute(query):
        if listener is None and (row.login, row.request) == (login, request):
            return UUID(str(row.id))
        if row.kind in LEAVES and not row.kind == wanted.command.kind == CommandKind.COMMIT:
            raise UserError("operation-in-progress", "Operation already in progress on this prearchive entry.")
    new = NewCommand(uuid4(), login, wanted.command, session_id=wanted.session_id, listener=listener)
    await add_command(connection, new)
    telemetry.log().info("command accepted", command_id=str(new.id), kind=wanted.command.kind)
    return new.id


async def tell(engine: AsyncEngine, broker: Broker, ids: Sequence[UUID]) -> None:
    """Publish what is accepted; the sweep tells again what is not confirmed. Safe to repeat."""
    with contextlib.suppress(Retryable):
        await broker.publish(*(CommandReceived(command_id=each) for each in ids))
        async with transaction(engine) as connection:
            await _mark_told(connection, ids)


async def _mark_told(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    await connection.execute(sa.update(commands).where(commands.c.id.in_(ids)).values(told_at=sa.func.now()))


async def tell_again(connection: AsyncConnection, broker: Broker, untold: sa.Select[tuple[UUID]]) -> Sequence[UUID]:
    """Publish for the commands that `untold` selects, and note it. Raises `Retryable` if it is not confirmed."""
    ids = [UUID(str(each)) for each in await connection.scalars(untold)]
    await broker.publish(*(CommandReceived(command_id=each) for each in ids))
    if ids:
        await _mark_told(connection, ids)
    return ids


async def wait(
    engine: AsyncEngine, waiting: Waiting, ids: Sequence[UUID], is_client_gone: Callable[[], Awaitable[bool]]
) -> list[State]:
    """How the commands stand when all have ended, the client has gone, or it takes too long; in their order.

    Raises:
        Retryable: the database is away at the end.
    """
    seconds = 0.0
    for pause in itertools.chain(LOOK_SECONDS, itertools.repeat(LOOK_SECONDS[-1])):
        with contextlib.suppress(Retryable):  # the next look may find the database
            states = await load_states(engine, ids)
            if all(state.outcome for state in states):
                return states
        seconds += pause
        if seconds > waiting.limit_seconds or await waiting.pause(pause) or await is_client_gone():
            break
    return await load_states(engine, ids)


async def load_states(engine: AsyncEngine, ids: Sequence[UUID]) -> list[State]:
    """How these commands stand, in their order; those that are not there are left out."""
    async with transaction(engine) as connection:
        rows = (await connection.execute(sa.select(commands).where(commands.c.id.in_(ids)))).all()
    found = {UUID(str(row.id)): state_of(row) for row in rows}
    return [found[each] for each in ids if each in found]


def state_of(row: sa.Row[*tuple[Any, ...]]) -> State:
    """A row of `commands`."""
    result = CommandResult.model_validate(row.result)
    return State(
        id=UUID(str(row.id)),
        login=row.login,
        session_id=row.session_id,
        kind=CommandKind(row.kind),
        is_done=row.done_at is not None,
        outcome=row.outcome,
        code=row.code,
        detail=row.detail,
        result=result,
    )


async def open_kinds(connection: AsyncConnection, session_ids: Sequence[str]) -> Mapping[str, tuple[CommandKind, bool]]:
    """Session ID -> what is going on with it, the oldest first, and whether its effect is committed already."""
    columns = commands.c
    query = (
        sa.select(columns.session_id, columns.kind, columns.done_at)
        .where(columns.outcome.is_(None), columns.session_id.in_(session_ids))
        .order_by(columns.received_at.desc())
    )
    rows = await connection.execute(query)
    return {row.session_id: (CommandKind(row.kind), row.done_at is not None) for row in rows}

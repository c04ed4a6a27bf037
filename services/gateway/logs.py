"""What has failed with a prearchive entry, from the rows of its imports and commands (import semantics §9.4)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import User
from libs.common.schema import commands, import_sessions, imports
from services.gateway.places import find_session
from services.gateway.tables import Row, moment

COLUMNS = ("time", "source", "id", "code", "message")


async def list_logs(connection: AsyncConnection, user: User, address: Mapping[str, str]) -> list[Row]:
    """The failures of an entry that the user may read, oldest first; the last one is why it waits, where it does.

    Texts of another user's imports may name his files: of those he is told the code alone.
    """
    session = await find_session(connection, user, address)
    rows = (await connection.execute(_failures(session.id))).all()
    lines = [_line(user, row) for row in rows]
    reason = session.status_reason
    if reason and not (rows and rows[-1].detail == reason):
        lines.append(_row(session.updated_at, "session", session.id, session.status, reason))
    return lines


def _failures(session_id: str) -> sa.CompoundSelect[tuple[Any, ...]]:
    each, kind = import_sessions.c, commands.c
    at = sa.func.coalesce(imports.c.merged_at, imports.c.finished_at, imports.c.received_at).label("at")
    of_imports = (
        sa.select(at, sa.literal("import").label("source"), imports.c.id, imports.c.login, each.code, each.detail)
        .join_from(import_sessions, imports, imports.c.id == each.import_id)
        .where(each.session_id == session_id, each.code != "")
    )
    ended_at = sa.func.coalesce(kind.finished_at, kind.done_at, kind.received_at)
    of_commands = sa.select(ended_at, kind.kind, kind.id, kind.login, kind.code, kind.detail).where(
        kind.session_id == session_id, kind.code != ""
    )
    return of_imports.union_all(of_commands).order_by("at")


def _line(user: User, row: sa.Row[*tuple[Any, ...]]) -> Row:
    is_own = user.admin or row.login == user.login
    return _row(row.at, row.source, str(row.id), row.code, row.detail if is_own else "")


def _row(at: datetime, source: str, row_id: str, code: str, message: str) -> Row:
    return dict(zip(COLUMNS, (moment(at), source, row_id, code, message), strict=True))

"""Cancelling an import that is running: it ends as rejected, and leaves nothing (issue 4)."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import User
from libs.common.errors import UserError
from libs.common.messages import CommandReceived, ImportFinished, ImportStaged
from libs.common.schema import import_sessions, imports, sessions
from libs.common.waiting import waiting_on_import

CANCELLED = "cancelled"
DETAIL = "The import was cancelled."


async def cancel_import(
    connection: AsyncConnection, user: User, import_id: UUID
) -> Sequence[ImportFinished | ImportStaged | CommandReceived]:
    """End an import and drop its entries, unless a session of it has landed; what to tell afterwards. Safe to repeat.

    Router and archiver hold the import's row too (`hold_import`): of a cancel and a merge that meet, the first wins.

    Raises:
        UserError: it is not there for this user, or has ended, or is landing (`conflict-…`, 409).
    """
    columns = imports.c
    query = sa.select(columns.login, columns.outcome, columns.code, columns.merged_at).where(columns.id == import_id)
    row = (await connection.execute(query.with_for_update(key_share=True))).one_or_none()
    if row is None or not (user.admin or row.login == user.login):
        raise UserError("not-found", "There is no such import.")
    if row.outcome is not None and row.code != CANCELLED:
        raise UserError("conflict-import-ended", f"The import has ended ({row.outcome}): nothing is left to cancel.")
    if row.outcome is None:
        if row.merged_at is not None or await _has_landed(connection, import_id):
            detail = "Sessions of the import have landed already: delete those that are not wanted."
            raise UserError("conflict-import-landed", detail)
        await _end(connection, import_id)
    return [ImportFinished(import_id=import_id), *await waiting_on_import(connection, import_id)]


def _sessions_of(import_id: UUID) -> sa.ScalarSelect[str]:
    columns = import_sessions.c
    return sa.select(columns.session_id).where(columns.import_id == import_id).scalar_subquery()


async def _has_landed(connection: AsyncConnection, import_id: UUID) -> bool:
    columns = import_sessions.c
    landed = sa.select(columns.session_id).where(columns.import_id == import_id, columns.outcome.is_not(None))
    return bool(await connection.scalar(sa.select(landed.exists())))


async def _end(connection: AsyncConnection, import_id: UUID) -> None:
    """Also entries that it shares, where no other import has come to them: they have held nothing yet."""
    now, each = sa.func.now(), import_sessions.c
    ended = {"outcome": "rejected", "code": CANCELLED, "detail": DETAIL, "finished_at": now}
    await connection.execute(sa.update(imports).where(imports.c.id == import_id).values(ended))
    shared = sa.select(sessions.c.id).where(sessions.c.id.in_(_sessions_of(import_id)), sessions.c.is_shared)
    await connection.execute(shared.order_by(sessions.c.id).with_for_update())  # nobody is joining it from here on
    of_others = sa.select(each.session_id).where(each.session_id == sessions.c.id, each.import_id != import_id)
    is_own = (sessions.c.opened_by == import_id) & (sessions.c.place == "opening")
    is_empty = sessions.c.is_shared & (sessions.c.place == "prearchive") & (sessions.c.revision == 0)
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id.in_(_sessions_of(import_id)), sa.or_(is_own, is_empty & sa.not_(of_others.exists())))
        .values(place="deleted", status_reason=DETAIL, deleted_from=sessions.c.place, deleted_at=now, updated_at=now)
    )

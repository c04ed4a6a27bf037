"""Builds the entries that receive no more: what XNAT's idle rebuilder does (import semantics §7.6)."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.command_rows import NewCommand, add_command
from libs.common.commands import Commit
from libs.common.messages import CommandReceived, derive
from libs.common.preferences import load_preferences

AT_ONCE = 100

_IDLE = (
    "select s.id, s.updated_at, s.created_by from sessions s"
    " where s.place = 'prearchive' and s.status = 'RECEIVING' and s.revision > 0 and s.updated_at < :before"
    " and (s.is_direct or not s.prevent_auto_commit and lower(s.source) <> 'uploader')"
    " and not exists (select from import_sessions m join imports i on i.id = m.import_id"
    " where m.session_id = s.id and m.outcome is null and i.outcome is null)"
    " and not exists (select from commands c where c.session_id = s.id and c.outcome is null)"
    " order by s.updated_at limit :limit for update of s skip locked"
)


async def commit_idle(connection: AsyncConnection, idle: timedelta | None) -> list[CommandReceived]:
    """A commit for each entry that nothing came to for `idle`, or else for as long as the site's preference says.

    Safe to repeat, and on several replicas at once: the command's id derives from what has come to the entry.
    """
    if idle is None:
        idle = timedelta(minutes=(await load_preferences(connection)).rebuild_after_minutes)
    rows = await connection.execute(sa.text(_IDLE), {"before": datetime.now(UTC) - idle, "limit": AT_ONCE})
    return [
        await add_command(
            connection,
            NewCommand(derive("idle", row.id, row.updated_at.isoformat()), row.created_by, Commit(), session_id=row.id),
        )
        for row in rows
    ]

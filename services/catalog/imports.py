"""An ended import's rows as facts."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import transaction
from libs.common.errors import Retryable
from libs.common.names import UNASSIGNED
from libs.common.reports import UNSETTLED
from libs.common.schema import import_members, import_sessions, imports, session_changes, sessions
from services.catalog.events import EndedImport


async def load_ended_import(engine: AsyncEngine, import_id: UUID) -> EndedImport:
    """An import with its outcome. Raises `Retryable` if it has none (yet)."""
    async with transaction(engine) as connection:
        row = (
            await connection.execute(
                sa.select(imports.c.outcome, imports.c.code, imports.c.size_bytes, imports.c.finished_at).where(
                    imports.c.id == import_id
                )
            )
        ).one_or_none()
        if row is None or row.outcome is None:
            raise Retryable("import-open", f"import {import_id} has no outcome")
        places = await _places(connection, import_id)
        return EndedImport(
            import_id=import_id,
            outcome=row.outcome,
            code=row.code,
            size_bytes=row.size_bytes,
            finished_at=row.finished_at,
            projects=sorted({project for _, project in places}),
            sessions=sorted({session_id for session_id, _ in places}),
            verdicts=await _verdicts(connection, import_id),
        )


async def _places(connection: AsyncConnection, import_id: UUID) -> list[tuple[str, str]]:
    """The sessions that an import changed, or found to have its files already, each with its project."""
    changed = sa.select(session_changes.c.session_id, session_changes.c.project).where(
        session_changes.c.import_id == import_id
    )
    entry, place = sessions.alias("entry"), sessions.alias("place")
    unchanged = (
        sa.select(place.c.id, sa.func.coalesce(place.c.project, UNASSIGNED))
        .select_from(
            import_sessions.join(entry, entry.c.id == import_sessions.c.session_id).join(
                place, place.c.id == sa.func.coalesce(entry.c.merged_into, entry.c.id)
            )
        )
        .where(import_sessions.c.import_id == import_id, import_sessions.c.outcome == "unchanged")
    )
    rows = await connection.execute(sa.union(changed, unchanged))
    return [(session_id, project or UNASSIGNED) for session_id, project in rows]


async def _verdicts(connection: AsyncConnection, import_id: UUID) -> dict[str, int]:
    verdict = sa.func.coalesce(import_members.c.verdict, UNSETTLED)
    rows = await connection.execute(
        sa.select(verdict, sa.func.count())
        .where(import_members.c.import_id == import_id)
        .group_by(verdict)
        .order_by(verdict)
    )
    return {row[0]: row[1] for row in rows}

"""Rows of files that a change takes out are kept until the grace time ends, so that it can be undone (§3)."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection


async def take_out(connection: AsyncConnection, rows: Mapping[int, int | None], revision: int) -> None:
    """Move rows of `files` to `replaced_files`, for the session's revision that takes them out.

    Each row stands with the one that takes its place, None where nothing does.
    """
    if not rows:
        return
    query = sa.text(
        "with taken as (delete from files where id = any(:rows) returning *)"
        " insert into replaced_files (id, session_id, revision, replaced_by, file, object_key)"
        " select id, session_id, :revision, successor, to_jsonb(taken), object_key from taken"
        " join unnest(cast(:rows as bigint[]), cast(:successors as bigint[])) as pair(row, successor) on row = id"
    )
    await connection.execute(query, {"rows": list(rows), "successors": list(rows.values()), "revision": revision})


async def take_out_all(connection: AsyncConnection, session_id: str, revision: int) -> None:
    """Move whatever files a session still has."""
    rows = await connection.scalars(sa.text("select id from files where session_id = :id"), {"id": session_id})
    await take_out(connection, dict.fromkeys(rows), revision)


async def reserve_rows(connection: AsyncConnection, count: int) -> list[int]:
    """IDs of rows of `files` that are yet to be written."""
    query = sa.text("select nextval(pg_get_serial_sequence('files', 'id')) from generate_series(1, :count)")
    return list(await connection.scalars(query, {"count": count}))

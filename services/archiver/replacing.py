"""Rows of files that a change takes out are kept until the grace time ends, so that it can be undone (§3)."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection


async def take_out(connection: AsyncConnection, rows: Sequence[int], revision: int) -> None:
    """Move rows of `files` to `replaced_files`, for the session's revision that takes them out."""
    if not rows:
        return
    query = sa.text(
        "with taken as (delete from files where id = any(:rows) returning *)"
        " insert into replaced_files (id, session_id, revision, file, object_key)"
        " select id, session_id, :revision, to_jsonb(taken), object_key from taken"
    )
    await connection.execute(query, {"rows": list(rows), "revision": revision})


async def take_out_all(connection: AsyncConnection, session_id: str, revision: int) -> None:
    """Move whatever files a session still has."""
    rows = await connection.scalars(sa.text("select id from files where session_id = :id"), {"id": session_id})
    await take_out(connection, list(rows), revision)


async def note_successors(connection: AsyncConnection, successors: Mapping[int, tuple[int, str]]) -> None:
    """Note which row of `files`, given by resource and name, took the place of which that was taken out."""
    if not successors:
        return
    query = sa.text(
        "update replaced_files set replaced_by = f.id"
        " from unnest(cast(:rows as bigint[]), cast(:resources as bigint[]), cast(:names as text[]))"
        " as successor(row, resource, name) join files f using (resource, name) where replaced_files.id = successor.row"
    )
    values = {
        "rows": list(successors),
        "resources": [resource for resource, _ in successors.values()],
        "names": [name for _, name in successors.values()],
    }
    await connection.execute(query, values)

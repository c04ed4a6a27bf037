"""The rows of assessors: read with their session, written and moved by sets."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.schema import assessors, session_ids
from libs.common.stated import StatedAssessor
from services.archiver.assessors import PlannedAssessor, StoredAssessor


async def load_assessors(connection: AsyncConnection, session_id: str) -> tuple[StoredAssessor, ...]:
    """All assessors of a session."""
    columns = assessors.c
    query = sa.select(columns.row, columns.id, columns.label, columns.xsi_type, columns.document, columns.fields).where(
        columns.session_id == session_id
    )
    return tuple(
        StoredAssessor(
            each.row,
            each.id,
            StatedAssessor(label=each.label, xsi_type=each.xsi_type, document=each.document, fields=each.fields),
        )
        for each in await connection.execute(query.order_by(columns.row))
    )


async def write_assessors(
    connection: AsyncConnection, session_id: str, planned: Sequence[PlannedAssessor], site_id: str, login: str
) -> Mapping[str, int]:
    """Make the new ones, with IDs of the sessions' sequence, and give others their documents; home -> row."""
    rows = {one.home: one.row for one in planned if one.row is not None}
    await rewrite(connection, {one.row: one.stated for one in planned if one.row is not None and one.is_altered})
    new = [one for one in planned if one.row is None]
    if not new:
        return rows
    numbers = await connection.scalars(
        sa.select(session_ids.next_value()).select_from(sa.func.generate_series(1, len(new)).alias())
    )
    values = [
        {**one.stated.model_dump(), "id": f"{site_id}_E{number:05d}", "session_id": session_id, "created_by": login}
        for one, number in zip(new, list(numbers), strict=True)
    ]
    made = await connection.execute(sa.insert(assessors).returning(assessors.c.label, assessors.c.row), values)
    by_label = {each.label: each.row for each in made}
    return rows | {one.home: by_label[one.stated.label] for one in new}


async def rewrite(connection: AsyncConnection, documents: Mapping[int, StatedAssessor]) -> None:
    """Give these rows other documents."""
    if documents:
        values = [
            {"of": row, "type": one.xsi_type, "text": one.document, "values": one.fields}
            for row, one in documents.items()
        ]
        bound: dict[str, object] = {
            "xsi_type": sa.bindparam("type"),
            "document": sa.bindparam("text"),
            "fields": sa.bindparam("values"),
        }
        query = sa.update(assessors).where(assessors.c.row == sa.bindparam("of")).values(bound)
        await connection.execute(query, values)


async def give_assessors(connection: AsyncConnection, session_id: str, rows: Sequence[int]) -> None:
    """Move assessors to a session that has none of their labels; they keep their IDs."""
    if rows:
        await connection.execute(sa.update(assessors).where(assessors.c.row.in_(rows)).values(session_id=session_id))


async def find_id(connection: AsyncConnection, session_id: str, label: str) -> str:
    """The ID of the assessor of this label."""
    columns = assessors.c
    query = sa.select(columns.id).where(columns.session_id == session_id, columns.label == label)
    return str((await connection.execute(query)).scalar_one())

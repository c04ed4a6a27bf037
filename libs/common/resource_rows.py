"""The rows of a session's resources, as far as two parts need them alike."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import names
from libs.common.schema import assessors, resources, scans


async def catalog_paths(connection: AsyncConnection, session_id: str) -> list[str]:
    """Where the catalogs of all resources of a session lie, below its prefix."""
    rows = await connection.execute(
        sa.select(scans.c.scan_id, resources.c.label, assessors.c.id.label("assessor_id"))
        .select_from(resources.outerjoin(scans).outerjoin(assessors))
        .where(resources.c.session_id == session_id)
    )
    return [names.catalog_path(row.scan_id, row.label, row.assessor_id) for row in rows]

"""A session's assessors as its documents tell of them."""

from collections import defaultdict

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.assessor_xml import Assessor, AssessorFile
from libs.common.names import catalog_path
from libs.common.schema import assessors, resources


async def load_assessors(
    connection: AsyncConnection, session_id: str, project: str, root: str, assessor_id: str | None = None
) -> list[Assessor]:
    """All assessors, or that one, each with its resources, whose catalogs lie below `root`.

    Without a root they are in the prearchive: paths are relative, and the session has no ID yet.
    """
    wanted = [assessors.c.session_id == session_id]
    wanted += [assessors.c.id == assessor_id] if assessor_id is not None else []
    query = sa.select(resources, assessors.c.id.label("assessor_id")).join_from(resources, assessors).where(*wanted)
    files = defaultdict[int, list[AssessorFile]](list)
    for row in await connection.execute(query.order_by(resources.c.label)):
        uri = root + catalog_path(None, row.label, row.assessor_id)
        files[row.assessor].append(
            AssessorFile(uri, row.label, row.format, row.content, row.file_count, row.size_bytes)
        )
    columns = assessors.c
    found = await connection.execute(
        sa.select(columns.row, columns.id, columns.label, columns.xsi_type, columns.document)
        .where(*wanted)
        .order_by(columns.row)
    )
    home = session_id if root else ""
    return [Assessor(row.id, row.label, project, home, row.xsi_type, row.document, files[row.row]) for row in found]

"""The report of an import while the catalog service has not written it: the same lines, from the rows."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import transaction
from libs.common.schema import files, import_members, sessions

COLUMNS = (
    "ordinal",
    "path",
    "verdict",
    "reason",
    "session_id",
    "sop_instance_uid",
    "md5",
    "size_bytes",
    "name",
)
"""What a line says, in this order, in the report's object and here."""
PAGE = 2000


def report_key(import_id: UUID) -> str:
    """Where the report of an ended import lies."""
    return f"uploads/{import_id}/report.ndjson"


async def report_lines(engine: AsyncEngine, import_id: UUID) -> AsyncIterator[bytes]:
    """One JSON line for each member that is listed so far, in order, a page at a time."""
    member, entry = import_members.c, sessions.alias("entry")
    is_its_file = (files.c.import_id == member.import_id) & (files.c.object_key == member.staged_key)
    query = (
        sa.select(
            member.ordinal,
            member.path,
            sa.func.coalesce(member.verdict, "unsettled"),
            member.reason,
            sa.func.coalesce(files.c.session_id, entry.c.merged_into, member.session_id, ""),
            sa.func.coalesce(member.sop_instance_uid, ""),
            sa.func.coalesce(member.md5, ""),
            member.size_bytes,
            sa.func.coalesce(files.c.name, ""),
        )
        .select_from(import_members.outerjoin(entry, entry.c.id == member.session_id).outerjoin(files, is_its_file))
        .where(member.import_id == import_id)
        .order_by(member.ordinal)
        .execution_options(yield_per=PAGE)
    )
    async with transaction(engine) as connection:
        # keys of files have no index: a nested loop could read all files of the import for each member
        await connection.execute(sa.text("set local enable_nestloop = off"))
        result = await connection.stream(query)
        async for page in result.partitions():
            yield b"".join(_line(row) for row in page)


def _line(row: sa.Row[*tuple[Any, ...]]) -> bytes:
    facts = dict(zip(COLUMNS, row, strict=True))
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

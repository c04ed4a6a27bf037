"""The report of an import: one JSON line for each member, saying what became of it and why.

The catalog service writes it once an import has ended; until then the gateway makes the same lines from the rows.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, fields
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import transaction
from libs.common.schema import files, import_members, sessions

UNSETTLED = "unsettled"
"""A member without a verdict: the import ended before anything was decided about it."""
PAGE = 5000
"""Members of a report in memory at a time."""


@dataclass(frozen=True, slots=True)
class MemberLine:
    """One member; `name` is what its file is called in its session, "" where it is not stored."""

    ordinal: int
    path: str
    verdict: str | None
    reason: str
    session_id: str
    sop_instance_uid: str
    md5: str
    size_bytes: int
    name: str


COLUMNS = tuple(field.name for field in fields(MemberLine))
"""What a line says, in this order."""


def report_key(import_id: UUID) -> str:
    """Where the report of an ended import lies in the bucket."""
    return f"uploads/{import_id}/report.ndjson"


async def render_pages(pages: AsyncIterable[Sequence[MemberLine]]) -> AsyncIterator[bytes]:
    """The report page by page, rendered off the event loop."""
    async for page in pages:
        yield await asyncio.to_thread(render_lines, page)


def render_lines(members: Iterable[MemberLine]) -> bytes:
    """NDJSON in UTF-8, each line ended."""
    return "".join(_line(member) for member in members).encode()


def _line(member: MemberLine) -> str:
    facts = {
        "ordinal": member.ordinal,
        "path": member.path,
        "verdict": member.verdict or UNSETTLED,
        "reason": member.reason,
        "session_id": member.session_id,
        "sop_instance_uid": member.sop_instance_uid,
        "md5": member.md5,
        "size_bytes": member.size_bytes,
        "name": member.name,
    }
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n"


async def report_pages(engine: AsyncEngine, import_id: UUID) -> AsyncGenerator[Sequence[MemberLine]]:
    """Every member of an import in order, `PAGE` at a time, through a cursor of the server."""
    entry = sessions.alias("entry")
    query = (
        sa.select(
            import_members.c.ordinal,
            import_members.c.path,
            import_members.c.verdict,
            import_members.c.reason,
            sa.func.coalesce(files.c.session_id, entry.c.merged_into, import_members.c.session_id, ""),
            sa.func.coalesce(import_members.c.sop_instance_uid, ""),
            sa.func.coalesce(import_members.c.md5, ""),
            import_members.c.size_bytes,
            sa.func.coalesce(files.c.name, ""),
        )
        .select_from(
            import_members.outerjoin(entry, entry.c.id == import_members.c.session_id).outerjoin(
                files,
                (files.c.import_id == import_members.c.import_id) & (files.c.object_key == import_members.c.staged_key),
            )
        )
        .where(import_members.c.import_id == import_id)
        .order_by(import_members.c.ordinal)
    )
    async with transaction(engine) as connection:
        # Keys of files have no index: without statistics a nested loop would read all files for each member.
        await connection.execute(sa.text("set local enable_nestloop = off"))
        result = await connection.stream(query.execution_options(yield_per=PAGE))
        async for page in result.partitions():
            yield [MemberLine(*row) for row in page]

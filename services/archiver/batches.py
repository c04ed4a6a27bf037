"""The rows of staging: a batch's routed members, what the archive knows of them, and what became of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.facts import Encoding, Member
from libs.common.messages import ImportStaged, MembersFound, MembersRouted
from libs.common.schema import files, import_batches, import_members, import_series, import_sessions, imports
from services.archiver.layout import member_key, series_folder


@dataclass(frozen=True, slots=True)
class Routed:
    """A member with its session, and the key that its bytes get."""

    member: Member
    session_id: str
    sop_instance_uid: str
    key: str


@dataclass(frozen=True, slots=True)
class Staged:
    """What became of one member: its bytes' key and digests, or the damage that was found."""

    ordinal: int
    key: str | None = None
    md5: str | None = None
    sha256: str | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class KnownObject:
    """An object that an archived session has for an instance."""

    key: str
    size_bytes: int


Known = Mapping[tuple[str, str], KnownObject]
"""SOP Instance UID and SHA-256 -> the object that holds it."""


async def is_staged(connection: AsyncConnection, batch_id: UUID) -> bool:
    """Whether the batch is done: a repeated message changes nothing."""
    query = sa.select(import_batches.c.staged_at).where(import_batches.c.id == batch_id)
    return await connection.scalar(query) is not None


async def load_routed(connection: AsyncConnection, batch_id: UUID) -> list[Routed]:
    """The members of a batch that have a session and no verdict, in order."""
    query = sa.text(
        "select m.ordinal, m.path, m.object_key, m.byte_offset, m.span_bytes, m.size_bytes, m.encoding, m.crc32,"
        " m.import_id, m.session_id, m.sop_instance_uid, m.series_instance_uid, s.prefix,"
        " i.attributes ->> 'SeriesNumber' as series_number"
        " from import_members m join sessions s on s.id = m.session_id left join import_series i"
        " on (i.batch_id, i.session_id, i.series_instance_uid) = (m.batch_id, m.session_id, m.series_instance_uid)"
        " where m.batch_id = :batch and m.verdict is null and m.staged_key is null order by m.ordinal"
    )
    rows = await connection.execute(query, {"batch": batch_id})
    return [
        Routed(
            Member(
                r.ordinal,
                r.path,
                r.object_key,
                r.byte_offset,
                r.span_bytes,
                r.size_bytes,
                Encoding(r.encoding),
                r.crc32,
            ),
            r.session_id,
            r.sop_instance_uid,
            member_key(r.prefix, r.import_id, series_folder(r.series_number, r.series_instance_uid), r.ordinal, r.path),
        )
        for r in rows
    ]


async def load_known(connection: AsyncConnection, session_id: str, uids: Collection[str]) -> Known:
    """What an archived session has for instances of these UIDs."""
    columns = files.c
    rows = await connection.execute(
        sa.select(columns.sop_instance_uid, columns.sha256, columns.object_key, columns.size_bytes).where(
            columns.session_id == session_id,
            columns.sop_instance_uid == sa.any_(sa.literal(list(uids), sa.ARRAY(sa.Text))),
        )
    )
    return {(r.sop_instance_uid, r.sha256): KnownObject(r.object_key, r.size_bytes) for r in rows}


async def write_staged(connection: AsyncConnection, import_id: UUID, batch_id: UUID, staged: Sequence[Staged]) -> None:
    """Record a whole batch: one statement for its members, one for itself."""
    query = sa.text(
        "update import_members m set staged_key = s.key, md5 = s.md5, sha256 = s.sha256,"
        " verdict = case when s.damage = '' then m.verdict else 'skipped' end, reason = s.damage"
        " from unnest(cast(:ordinals as int[]), cast(:keys as text[]), cast(:md5s as text[]), cast(:sha256s as text[]),"
        " cast(:damages as text[])) as s(ordinal, key, md5, sha256, damage)"
        " where m.import_id = :import_id and m.ordinal = s.ordinal"
    )
    values = {
        "import_id": import_id,
        "ordinals": [one.ordinal for one in staged],
        "keys": [one.key for one in staged],
        "md5s": [one.md5 for one in staged],
        "sha256s": [one.sha256 for one in staged],
        "damages": [one.damage for one in staged],
    }
    if staged:
        await connection.execute(query, values)
    await connection.execute(
        sa.update(import_batches)
        .where(import_batches.c.id == batch_id, import_batches.c.staged_at.is_(None))
        .values(staged_at=datetime.now(UTC))
    )


async def unstage(connection: AsyncConnection, import_id: UUID, ordinals: Collection[int]) -> list[MembersRouted]:
    """Have members staged again, because the object that was thought to hold their bytes is no longer a session's."""
    columns = import_members.c
    rows = await connection.execute(
        sa.update(import_members)
        .where(columns.import_id == import_id, columns.ordinal == sa.any_(sa.literal(list(ordinals), _INTEGERS)))
        .values(staged_key=None)
        .returning(columns.batch_id)
    )
    batches = await _reopen(connection, import_id, {row.batch_id for row in rows}, staged_at=None)
    return [MembersRouted(import_id=import_id, batch_id=batch_id) for batch_id in batches]


async def unroute(
    connection: AsyncConnection, import_id: UUID, session_id: str
) -> Sequence[MembersFound | ImportStaged]:
    """Have members routed again, because the session that they were for has left the prearchive. Their bytes stay.

    Call it after what has found that out is undone. Safe to repeat.
    """
    columns = import_members.c
    rows = await connection.execute(
        sa.update(import_members)
        .where(columns.import_id == import_id, columns.session_id == session_id, columns.verdict.is_(None))
        .values(session_id=None)
        .returning(columns.batch_id)
    )
    for table in (import_series, import_sessions):
        await connection.execute(
            sa.delete(table).where(table.c.import_id == import_id, table.c.session_id == session_id)
        )
    batches = await _reopen(connection, import_id, {row.batch_id for row in rows}, routed_at=None, staged_at=None)
    found = [MembersFound(import_id=import_id, batch_id=batch_id) for batch_id in batches]
    return found or [ImportStaged(import_id=import_id)]


async def _reopen(
    connection: AsyncConnection, import_id: UUID, batch_ids: Collection[UUID], **values: None
) -> list[UUID]:
    """Take back that batches are done, and with them the import: nobody merges it until they are again."""
    if batch_ids:
        columns = import_batches.c
        await connection.execute(sa.update(import_batches).where(columns.id.in_(batch_ids)).values(values))
        await connection.execute(sa.update(imports).where(imports.c.id == import_id).values(staged_at=None))
    return sorted(batch_ids)


_INTEGERS = sa.ARRAY(sa.Integer)

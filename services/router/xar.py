"""Routing by XNAT documents: whichever batch comes first finds them in the whole upload, and routes all batches.

No DICOM header is read (import semantics §3.6): UIDs and instance numbers are those of the catalogs' entries.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import spans
from libs.common.database import hold_import, transaction
from libs.common.errors import Retryable, UserError
from libs.common.facts import Encoding, Instance, Member
from libs.common.messages import MembersRouted
from libs.common.schema import import_batches, import_members, sessions
from libs.common.storage import Missing, ObjectStore
from services.router import batches, entries
from services.router.batches import Batch
from services.router.headers import Header, NotDicom
from services.router.studies import Study
from services.router.xar_documents import Document, read_documents
from services.router.xar_home import find_home
from services.router.xar_paths import single_top
from services.router.xar_plan import Plan, catalog_paths, plan_xar

LONGEST_DOCUMENT_BYTES = 64 << 20
TOO_LONG = ("limit-document", f"An XML document of the XAR is larger than {LONGEST_DOCUMENT_BYTES >> 20} MiB.")
DAMAGED = ("damaged", "An XML document of the XAR is damaged: make the archive anew.")


@dataclass(frozen=True)
class _Archive:
    """All members of an upload by path, behind the one top folder if there is just one.

    `waiting` are those of the batches that nobody has routed yet.
    """

    members: Mapping[str, Member]
    waiting: Sequence[Member]
    batch_ids: Collection[UUID]


async def route_documents(batch: Batch, store: ObjectStore, engine: AsyncEngine, site_id: str) -> list[MembersRouted]:
    """Give each member of the batch's import its resource, or the reason why it has none.

    Safe to repeat, and for all batches at once: one of them reads the documents and routes every batch that is there,
    in one transaction, so that the cost is that of one reading; the others wait for it, and find theirs done.

    Raises:
        UserError: the documents are missing, unsafe or incomplete, or their project is not the sender's to change.
    """
    async with transaction(engine) as connection:
        await _take_turn(connection, batch.import_id)
        if not await batches.is_routed(connection, batch.batch_id):
            await _route(connection, batch, store, site_id)
    return [MembersRouted(import_id=batch.import_id, batch_id=batch.batch_id)]


async def _take_turn(connection: AsyncConnection, import_id: UUID) -> None:
    """One at a time routes an import, until its transaction ends. The import's row stays free: it can be cancelled."""
    key = sa.func.hashtextextended(f"documents/{import_id}", 0)
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


async def _route(connection: AsyncConnection, batch: Batch, store: ObjectStore, site_id: str) -> None:
    archive = await _load_archive(connection, batch.import_id)
    top_level = {path: m for path, m in archive.members.items() if "/" not in path and path.lower().endswith(".xml")}
    document = await asyncio.to_thread(read_documents, await _read(store, top_level))
    named = await asyncio.to_thread(catalog_paths, document, archive.members)
    catalogs = {path: archive.members[path] for path in named if path.endswith(".xml")}
    plan = await asyncio.to_thread(plan_xar, document, archive.members.keys(), await _read(store, catalogs))
    if await hold_import(connection, batch.import_id):
        found = await asyncio.to_thread(_Sorted.of, archive, plan)
        await _write(connection, replace(batch, members=archive.waiting), document, found, site_id)
        await batches.mark_routed(connection, archive.batch_ids)


async def _load_archive(connection: AsyncConnection, import_id: UUID) -> _Archive:
    """The first member of each path, in order of place, of all batches; what the extractor has skipped is no part."""
    columns, each = import_members.c, import_batches.c
    rows = await connection.execute(
        sa.select(
            columns.ordinal, columns.path, columns.object_key, columns.byte_offset, columns.span_bytes,
            columns.size_bytes, columns.encoding, columns.crc32, columns.batch_id, each.routed_at,
        )
        .join_from(import_members, import_batches, columns.batch_id == each.id)
        .where(columns.import_id == import_id)
        .order_by(columns.ordinal)
    )  # fmt: skip
    found = [(Member(r[0], r[1], r[2], r[3], r[4], r[5], Encoding(r[6]), r[7]), r[8], r[9]) for r in rows]
    top = single_top(member.path for member, _, _ in found)
    by_path: dict[str, Member] = {}
    for member, _, _ in found:
        by_path.setdefault(member.path.removeprefix(top), member)
    waiting = [(member, batch_id) for member, batch_id, routed_at in found if routed_at is None]
    return _Archive(by_path, [member for member, _ in waiting], {batch_id for _, batch_id in waiting})


async def _read(store: ObjectStore, members: Mapping[str, Member]) -> Mapping[str, bytes]:
    """The bytes of a few members, by path."""
    if any(max(m.size_bytes, m.span_bytes) > LONGEST_DOCUMENT_BYTES for m in members.values()):
        raise UserError(*TOO_LONG)
    paths = {member.ordinal: path for path, member in members.items()}
    bodies: dict[str, bytes] = {}
    for read in spans.plan(members.values()):
        try:
            body = memoryview(await store.read(read.object_key, read.start, read.length))
        except Missing as error:
            raise Retryable("upload-missing", "an uploaded object cannot be found") from error
        bodies |= {paths[m.ordinal]: await asyncio.to_thread(_decode, m, read.span(m, body)) for m in read.members}
    return bodies


def _decode(member: Member, span: memoryview) -> bytes:
    try:
        return bytes(spans.decode(member, span))
    except spans.Damaged as error:
        raise UserError(*DAMAGED) from error


@dataclass(frozen=True)
class _Sorted:
    """Members that wait: those with a place, as headers would have them, their names, and the others' reasons."""

    plan: Plan
    headers: Mapping[int, Header]
    names: Mapping[int, str]
    skipped: Mapping[int, NotDicom]

    @classmethod
    def of(cls, archive: _Archive, plan: Plan) -> "_Sorted":
        """What `plan` says of them; of two members of one path the first counts."""
        first = {member.ordinal: path for path, member in archive.members.items()}
        ordinals = [member.ordinal for member in archive.waiting]
        placed = {o: plan.places[first[o]] for o in ordinals if first.get(o) in plan.places}
        others = [ordinal for ordinal in ordinals if ordinal not in placed]
        reasons = {
            o: plan.reasons[first[o]] if o in first else "the upload has another file of this path" for o in others
        }
        return cls(
            plan,
            {
                ordinal: Header(
                    Instance(
                        "", one.series_key, one.sop_instance_uid, "", "", "", one.instance_number, 1, one.resource_label
                    ),
                    {},
                )
                for ordinal, one in placed.items()
            },
            {ordinal: one.name for ordinal, one in placed.items()},
            {ordinal: NotDicom(reason) for ordinal, reason in reasons.items()},
        )


async def _write(connection: AsyncConnection, batch: Batch, document: Document, found: _Sorted, site_id: str) -> None:
    home = await find_home(connection, batch.login, document)
    opened = await entries.open_entries(connection, batch, {home.study_key: home.identity}, site_id)
    session_id = opened[home.study_key]
    await _describe(connection, session_id, document, home.xsi_type)
    study = Study(home.study_key, min((m.ordinal for m in batch.members), default=0), [], found.plan.series)
    await entries.join_import(connection, batch, [study], opened)
    await batches.write_members(connection, batch, found.headers, {"": session_id}, found.names)
    await batches.write_skipped(connection, batch, found.skipped)
    await batches.write_series(connection, batch, [study], opened)


async def _describe(connection: AsyncConnection, session_id: str, document: Document, xsi_type: str) -> None:
    """What the document says of a session and no header would."""
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == session_id, sessions.c.place == "opening")
        .values(
            fields=document.values.paths,
            visit=document.visit,
            protocol=document.protocol,
            xsi_type=xsi_type,
        )
    )

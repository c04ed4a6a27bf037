"""An upload is received: list its members, once, and tell of each batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import copy_rows, staged_if_complete, transaction
from libs.common.errors import Poison, Retryable, UserError
from libs.common.facts import Verdict
from libs.common.importers import IMPORTERS, Importer, Reads
from libs.common.messages import ImportReceived, ImportStaged, MembersFound, derive
from libs.common.messages import Output as MessageOrEvent
from libs.common.requests import ImportRequest
from libs.common.schema import import_batches, import_members, import_sources, imports
from libs.common.storage import Missing, ObjectStore
from services.extractor import taking, xar
from services.extractor.batches import Plan, plan_batches
from services.extractor.leases import Leases
from services.extractor.limits import Limits
from services.extractor.listing import Inner, Source, Upload, list_upload
from services.extractor.members import Found

Output = MembersFound | ImportStaged


async def hold_import(
    message: ImportReceived, store: ObjectStore, engine: AsyncEngine, limits: Limits, leases: Leases
) -> Sequence[MessageOrEvent]:
    """List an upload within the time that a message may be held, or go on under a lease. Raises as `list_import`."""
    return await leases.hold(message.import_id, list_import(message, store, engine, limits))


async def list_import(message: ImportReceived, store: ObjectStore, engine: AsyncEngine, limits: Limits) -> list[Output]:
    """List the members of one upload, in batches. One that another delivery has a lease on is left to that.

    Safe to repeat: rows, batches and unpacked objects derive from the upload; what is listed is only told again.

    Raises:
        UserError: the upload is not what its import handler takes, is unsafe, or is larger inside than `limits`.
        Poison: the upload's object is gone.
    """
    import_id = message.import_id
    async with transaction(engine) as connection:
        row = await _load(connection, import_id)
        if row.is_ended or row.is_leased:
            return []
        if row.is_listed:
            return await _tell(connection, import_id)
    members = await _list(store, row, limits)
    async with transaction(engine) as connection:
        await _write(connection, import_id, members)
        return await _tell(connection, import_id)


async def _list(store: ObjectStore, row: "_Row", limits: Limits) -> Sequence[Found]:
    try:
        members = await list_upload(store, row.upload, limits)
    except Missing as error:
        raise Poison("upload-missing", "an object of the upload is gone") from error
    except UserError as error:
        raise _refusal(error, row) from error
    if row.importer.reads is Reads.DOCUMENTS:
        xar.check(row.upload, members)
    else:
        taking.check(row.upload, members, row.request, row.importer)
    return members


def _refusal(error: UserError, row: "_Row") -> UserError:
    if row.importer.reads is Reads.DOCUMENTS:
        return xar.refusal(error)
    return taking.refusal(error, row.upload, row.importer)


@dataclass(frozen=True, slots=True)
class _Row:
    upload: Upload
    request: ImportRequest
    is_listed: bool
    is_leased: bool
    is_ended: bool

    @property
    def importer(self) -> Importer:
        return IMPORTERS[self.request.handler]


async def _load(connection: AsyncConnection, import_id: UUID) -> _Row:
    columns, source = imports.c, import_sources.c
    is_leased = (columns.leased_until > sa.func.now()).label("is_leased")
    query = (
        sa.select(
            columns.listed_at,
            columns.outcome,
            columns.request,
            is_leased,
            source.object_key,
            source.name,
            source.size_bytes,
        )
        .join_from(imports, import_sources)
        .where(columns.id == import_id)
        .order_by(source.ordinal)
    )
    rows = (await connection.execute(query)).all()
    if not rows:
        raise Retryable("import-unknown", f"import {import_id} has no row")
    request = ImportRequest.model_validate(rows[0].request)
    inner = Inner.KEEP if IMPORTERS[request.handler].reads is Reads.DOCUMENTS else Inner.OPEN
    upload = Upload(import_id, tuple(Source(row.object_key, row.name, row.size_bytes) for row in rows), inner)
    return _Row(upload, request, rows[0].listed_at is not None, bool(rows[0].is_leased), rows[0].outcome is not None)


async def _write(connection: AsyncConnection, import_id: UUID, members: Sequence[Found]) -> None:
    """All rows of the listing, unless another delivery has written them: the import's row is the lock."""
    is_open = sa.and_(imports.c.id == import_id, imports.c.listed_at.is_(None), imports.c.outcome.is_(None))
    if (await connection.execute(sa.select(imports.c.id).where(is_open).with_for_update())).one_or_none() is None:
        return
    plan = plan_batches(members)
    ids = [derive("batch", import_id, number) for number in range(len(plan.batches))]
    if ids:
        await connection.execute(
            sa.insert(import_batches),
            [
                {
                    "id": batch_id,
                    "import_id": import_id,
                    "ordinal": number,
                    "member_count": batch.member_count,
                    "size_bytes": batch.size_bytes,
                }
                for number, (batch_id, batch) in enumerate(zip(ids, plan.batches, strict=True))
            ],
        )
    await copy_rows(connection, import_members.name, _COLUMNS, _rows(import_id, members, plan, ids))
    await connection.execute(
        sa.update(imports)
        .where(imports.c.id == import_id)
        .values(listed_at=datetime.now(UTC), batch_count=len(plan.batches))
    )


_COLUMNS = (
    "import_id", "ordinal", "batch_id", "path", "object_key", "byte_offset", "span_bytes", "size_bytes", "encoding",
    "crc32", "verdict", "reason",
)  # fmt: skip


def _rows(import_id: UUID, members: Sequence[Found], plan: Plan, ids: Sequence[UUID]) -> Iterator[Sequence[object]]:
    for ordinal, (member, number) in enumerate(zip(members, plan.numbers, strict=True)):
        yield (
            import_id,
            ordinal,
            None if number is None else ids[number],
            member.path,
            member.object_key,
            member.offset,
            member.span_bytes,
            member.size_bytes,
            member.encoding,
            member.crc32,
            Verdict.SKIPPED if member.skipped else None,
            member.skipped,
        )


async def _tell(connection: AsyncConnection, import_id: UUID) -> list[Output]:
    """One message for each batch that is not staged yet; none left, or none at all: the import is staged."""
    rows = await connection.execute(
        sa.select(import_batches.c.id)
        .where(import_batches.c.import_id == import_id, import_batches.c.staged_at.is_(None))
        .order_by(import_batches.c.ordinal)
    )
    found = [MembersFound(import_id=import_id, batch_id=row.id) for row in rows]
    return [*found, *await staged_if_complete(connection, import_id)]

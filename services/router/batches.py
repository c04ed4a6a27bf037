"""A batch of an import: what is to be routed, and where its facts are written. Statements for sets, not loops."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import database
from libs.common.errors import Retryable
from libs.common.facts import Member, Verdict
from libs.common.messages import MembersFound
from libs.common.requests import ImportRequest
from libs.common.schema import import_batches, import_series, imports
from services.router.headers import Header, NotDicom
from services.router.studies import Study


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of one import, as it waits for the router."""

    import_id: UUID
    batch_id: UUID
    login: str
    received_at: datetime
    request: ImportRequest
    members: Sequence[Member]


async def load(connection: AsyncConnection, message: MembersFound) -> Batch | None:
    """The batch, or None if its import has ended. Raises `Retryable` if a row is not there (yet)."""
    request = await database.load_request(connection, message.import_id)
    columns = imports.c
    row = (
        await connection.execute(
            sa.select(columns.login, columns.received_at, columns.outcome).where(columns.id == message.import_id)
        )
    ).one()
    if row.outcome is not None:
        return None
    members = await database.load_batch(connection, message.batch_id)
    return Batch(message.import_id, message.batch_id, row.login, row.received_at, request, members)


async def lock(connection: AsyncConnection, batch_id: UUID) -> bool:
    """Hold the batch until the transaction ends; False if it is routed already. Raises `Retryable` if it is unknown."""
    columns = import_batches.c
    row = (
        await connection.execute(
            sa.select(columns.routed_at).where(columns.id == batch_id).with_for_update(key_share=True)
        )
    ).one_or_none()
    if row is None:
        raise Retryable("batch-unknown", f"batch {batch_id} has no row")
    return row.routed_at is None


async def is_routed(connection: AsyncConnection, batch_id: UUID) -> bool:
    """Whether the batch is routed already, without holding it. Raises `Retryable` if it is unknown."""
    columns = import_batches.c
    row = (await connection.execute(sa.select(columns.routed_at).where(columns.id == batch_id))).one_or_none()
    if row is None:
        raise Retryable("batch-unknown", f"batch {batch_id} has no row")
    return row.routed_at is not None


_MEMBERS = sa.text("""
update import_members as m
set session_id = u.session_id, series_instance_uid = u.series_instance_uid, sop_instance_uid = u.sop_instance_uid,
    sop_class_uid = u.sop_class_uid, instance_number = u.instance_number, number_of_frames = u.number_of_frames,
    resource_label = u.resource_label, file_name = u.file_name
from unnest(
    cast(:ordinals as integer[]), cast(:session_ids as text[]), cast(:series_instance_uids as text[]),
    cast(:sop_instance_uids as text[]), cast(:sop_class_uids as text[]), cast(:instance_numbers as text[]),
    cast(:numbers_of_frames as integer[]), cast(:resource_labels as text[]), cast(:file_names as text[])
) as u(ordinal, session_id, series_instance_uid, sop_instance_uid, sop_class_uid, instance_number, number_of_frames,
    resource_label, file_name)
where m.import_id = :import_id and m.ordinal = u.ordinal and m.verdict is null
""")
_SKIPPED = sa.text("""
update import_members as m
set verdict = :verdict, reason = u.reason
from unnest(cast(:ordinals as integer[]), cast(:reasons as text[])) as u(ordinal, reason)
where m.import_id = :import_id and m.ordinal = u.ordinal and m.verdict is null
""")


async def write_members(
    connection: AsyncConnection,
    batch: Batch,
    headers: Mapping[int, Header],
    entries: Mapping[str, str],
    names: Mapping[int, str],
) -> None:
    """Write where each DICOM member belongs; `entries` is study UID -> session ID, `names` those that we give."""
    instances = {ordinal: header.instance for ordinal, header in headers.items()}
    values = instances.values()
    await connection.execute(
        _MEMBERS,
        {
            "import_id": batch.import_id,
            "ordinals": list(instances),
            "session_ids": [entries[instance.study_instance_uid] for instance in values],
            "series_instance_uids": [instance.series_instance_uid for instance in values],
            "sop_instance_uids": [instance.sop_instance_uid for instance in values],
            "sop_class_uids": [instance.sop_class_uid for instance in values],
            "instance_numbers": [instance.instance_number for instance in values],
            "numbers_of_frames": [instance.number_of_frames for instance in values],
            "resource_labels": [instance.resource_label for instance in values],
            "file_names": [names.get(ordinal) for ordinal in instances],
        },
    )


async def write_skipped(connection: AsyncConnection, batch: Batch, skipped: Mapping[int, NotDicom]) -> None:
    """Write why members are not for the archive."""
    await connection.execute(
        _SKIPPED,
        {
            "import_id": batch.import_id,
            "verdict": Verdict.SKIPPED.value,
            "ordinals": list(skipped),
            "reasons": [outcome.reason for outcome in skipped.values()],
        },
    )


async def write_series(
    connection: AsyncConnection, batch: Batch, studies: Iterable[Study], entries: Mapping[str, str]
) -> None:
    """Write what the batch's files agree on, a row a series."""
    rows = [
        {
            "batch_id": batch.batch_id,
            "session_id": entries[study.study_instance_uid],
            "series_instance_uid": series.series_instance_uid,
            "import_id": batch.import_id,
            "modalities": list(series.modalities),
            "sop_class_uids": list(series.sop_class_uids),
            "attributes": series.attributes,
            "stated": None if series.stated is None else series.stated.model_dump(mode="json", exclude_defaults=True),
        }
        for study in studies
        for series in study.series
    ]
    if rows:
        await connection.execute(insert(import_series).on_conflict_do_nothing(), rows)


async def mark_routed(connection: AsyncConnection, batch_ids: Collection[UUID]) -> None:
    """Say that every member of these batches has its session or its reason."""
    columns = import_batches.c
    await connection.execute(
        sa.update(import_batches)
        .where(columns.id.in_(batch_ids), columns.routed_at.is_(None))
        .values(routed_at=sa.func.now())
    )

"""A session's rows as facts, and the mark that a change is catalogued."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import names
from libs.common.assessor_rows import load_assessors
from libs.common.commands import CommandKind, Refreshed
from libs.common.database import transaction
from libs.common.errors import Retryable
from libs.common.messages import SessionEvent
from libs.common.schema import assessors, commands, files, resources, scans, session_changes, sessions
from services.catalog.catalog_xml import Catalog, Entry, Refreshing
from services.catalog.catalog_xml import Scan as CatalogScan
from services.catalog.events import Change
from services.catalog.scan_xml import InArchive, InPrearchive, Resource, Scan
from services.catalog.session_xml import Session

LIVE = ("prearchive", "archive")
"""The places of sessions that have documents; others are not there yet, or not there any more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The documents of a change: the key of the session's XML, and of each changed resource's catalog by its row."""

    session_key: str
    catalogs: dict[int, str]


async def load_change(engine: AsyncEngine, session_id: str, revision: int) -> Change:
    """A change's row. Raises `Retryable` if it is not there (yet)."""
    async with transaction(engine) as connection:
        return await _change(connection, session_id, revision)


async def _change(connection: AsyncConnection, session_id: str, revision: int) -> Change:
    row = (
        await connection.execute(
            sa.select(session_changes).where(
                session_changes.c.session_id == session_id, session_changes.c.revision == revision
            )
        )
    ).one_or_none()
    if row is None:
        raise Retryable("change-unknown", f"revision {revision} of session {session_id} has no row")
    return Change(
        session_id=row.session_id,
        revision=row.revision,
        import_id=row.import_id,
        command_id=row.command_id,
        verb=row.verb,
        event_id=row.event_id,
        pipelines=row.pipelines,
        resources=row.resources,
        event=SessionEvent.model_validate(row.event),
        project=row.project,
        changed_at=row.changed_at,
        is_catalogued=row.catalogued_at is not None,
    )


async def load_plan(engine: AsyncEngine, change: Change) -> Plan:
    """Where the documents of `change` lie. Resources that are gone since have none."""
    async with transaction(engine) as connection:
        prefix = (
            await connection.execute(sa.select(sessions.c.prefix).where(sessions.c.id == change.session_id))
        ).scalar_one()
        rows = await connection.execute(
            sa.select(resources.c.id, resources.c.label, scans.c.scan_id, assessors.c.id.label("assessor_id"))
            .select_from(resources.outerjoin(scans).outerjoin(assessors))
            .where(resources.c.session_id == change.session_id, resources.c.id.in_(change.resources))
            .order_by(resources.c.id)
        )
        catalogs = {row.id: prefix + names.catalog_path(row.scan_id, row.label, row.assessor_id) for row in rows}
        return Plan(names.session_xml_key(prefix), catalogs)


async def mark_catalogued(connection: AsyncConnection, change: Change, catalogs: Sequence[str]) -> Change:
    """Note once that `change` can be read, with the catalogs that were written for it; the row as it is then.

    The catalogs go into the row's event, so it is told word for word the same even after a scan is renamed.
    """
    row = session_changes.c
    told = sa.cast({"catalogs": list(catalogs)}, JSONB)
    await connection.execute(
        sa.update(session_changes)
        .where(row.session_id == change.session_id, row.revision == change.revision, row.catalogued_at.is_(None))
        .values(catalogued_at=datetime.now(UTC), event=row.event.op("||")(told))
    )
    return await _change(connection, change.session_id, change.revision)


async def _one_moment(connection: AsyncConnection) -> None:
    """Have all statements of this transaction see the same rows."""
    await connection.execute(sa.text("set transaction isolation level repeatable read, read only"))


async def load_catalog(engine: AsyncEngine, session_id: str, resource: int, key: str, bucket: str) -> Catalog | None:
    """A resource with its files as of one moment, for the catalog at `key`; None if the session has it no more."""
    async with transaction(engine) as connection:
        await _one_moment(connection)
        row = (await connection.execute(_resource(session_id, resource))).one_or_none()
        if row is None:
            return None
        entries = await _entries(connection, session_id, resource, row.resource_revision)
        folder = names.resource_folder(row.scan_id, row.label, row.assessor_id)
        refreshed = await _refreshings(connection, session_id, resource, folder)
    is_scan = row.series_instance_uid is not None
    return Catalog(
        key=key,
        bucket=bucket,
        prefix=row.prefix,
        project=row.project or names.UNASSIGNED,
        revision=row.revision,
        label=row.label,
        format=row.format,
        content=row.content,
        scan=CatalogScan(row.series_instance_uid, row.attributes) if is_scan else None,
        entries=entries,
        refreshed=refreshed,
    )


def _resource(session_id: str, resource: int) -> sa.Select[tuple[object, ...]]:
    return (
        sa.select(
            sessions.c.prefix,
            sessions.c.project,
            sessions.c.revision,
            resources.c.label,
            resources.c.format,
            resources.c.content,
            resources.c.revision.label("resource_revision"),
            scans.c.scan_id,
            scans.c.series_instance_uid,
            scans.c.attributes,
            assessors.c.id.label("assessor_id"),
        )
        .select_from(
            resources.join(sessions, resources.c.session_id == sessions.c.id)
            .outerjoin(scans, resources.c.scan == scans.c.id)
            .outerjoin(assessors, resources.c.assessor == assessors.c.row)
        )
        .where(resources.c.id == resource, sessions.c.id == session_id, sessions.c.place.in_(LIVE))
    )


async def _entries(connection: AsyncConnection, session_id: str, resource: int, revision: int) -> list[Entry]:
    """The files of a resource; each has the revision at which what brought it changed the session first."""
    origin = sa.func.coalesce(session_changes.c.import_id, session_changes.c.command_id)
    brought = (
        sa.select(origin.label("id"), sa.func.min(session_changes.c.revision).label("revision"))
        .where(session_changes.c.session_id == session_id)
        .group_by(origin)
        .subquery()
    )
    rows = await connection.execute(
        sa.select(
            files.c.name,
            files.c.object_key,
            files.c.size_bytes,
            files.c.md5,
            files.c.sop_instance_uid,
            files.c.instance_number,
            files.c.number_of_frames,
            files.c.created_by,
            files.c.created_at,
            sa.func.coalesce(brought.c.revision, revision).label("revision"),
        )
        .select_from(files.outerjoin(brought, sa.func.coalesce(files.c.command_id, files.c.import_id) == brought.c.id))
        .where(files.c.resource == resource)
        .order_by(files.c.name)
    )
    return [Entry(**row) for row in rows.mappings()]


async def _refreshings(connection: AsyncConnection, session_id: str, resource: int, folder: str) -> list[Refreshing]:
    """What refreshes did to a resource, by their results."""
    change = session_changes.c
    lines = sa.func.jsonb_array_elements(commands.c.result["refreshed"]).table_valued(sa.column("value", JSONB))
    query = (
        sa.select(change.revision, change.changed_at, lines.c.value)
        .select_from(session_changes.join(commands, commands.c.id == change.command_id).join(lines, sa.true()))
        .where(
            change.session_id == session_id,
            commands.c.kind == CommandKind.REFRESH,
            sa.literal(resource) == sa.any_(change.resources),
            lines.c.value["folder"].astext == folder,
        )
    )
    found = [(r.revision, r.changed_at, Refreshed.model_validate(r.value)) for r in await connection.execute(query)]
    return [Refreshing(revision, at, line.added, line.modified, line.removed) for revision, at, line in found]


async def load_session(engine: AsyncEngine, session_id: str, bucket: str) -> Session | None:
    """A session with its scans and resources as of one moment; None if it is in neither prearchive nor archive."""
    async with transaction(engine) as connection:
        await _one_moment(connection)
        row = (
            await connection.execute(sa.select(sessions).where(sessions.c.id == session_id, sessions.c.place.in_(LIVE)))
        ).one_or_none()
        if row is None:
            return None
        by_scan = await _resources(connection, session_id)
        found = await _scans(connection, session_id, by_scan)
        root = f"s3://{bucket}/{row.prefix}" if row.place == "archive" else ""
        made = await load_assessors(connection, session_id, row.project or "", root)
    is_archived = row.place == "archive"
    return Session(
        home=InArchive(row.id, root) if is_archived else InPrearchive(),
        project=row.project,
        subject=(row.subject_id if is_archived else None) or row.subject_label,
        label=row.label,
        prearchive_path=names.prearchive_uri(row.project, row.timestamp, row.folder),
        study_instance_uid=row.study_instance_uid,
        xsi_type=row.xsi_type,
        attributes=row.attributes,
        fields=row.fields,
        visit=row.visit,
        protocol=row.protocol,
        revision=row.revision,
        scans=found,
        resources=by_scan.get(None, []),
        assessors=made,
    )


async def _resources(connection: AsyncConnection, session_id: str) -> dict[int | None, list[Resource]]:
    by_scan: dict[int | None, list[Resource]] = defaultdict(list)
    for row in await connection.execute(
        sa.select(resources)
        .where(resources.c.session_id == session_id, resources.c.assessor.is_(None))
        .order_by(resources.c.label)
    ):
        by_scan[row.scan].append(Resource(row.label, row.format, row.content, row.file_count, row.size_bytes))
    return by_scan


async def _scans(connection: AsyncConnection, session_id: str, by_scan: dict[int | None, list[Resource]]) -> list[Scan]:
    frames = (
        sa.select(resources.c.scan, sa.func.sum(files.c.number_of_frames).label("frames"))
        .select_from(files.join(resources, files.c.resource == resources.c.id))
        .where(
            resources.c.session_id == session_id,
            sa.or_(files.c.sop_instance_uid != "", resources.c.label == "ECAT"),
        )
        .group_by(resources.c.scan)
        .subquery()
    )
    rows = await connection.execute(
        sa.select(scans, sa.func.coalesce(frames.c.frames, 0).label("frames"))
        .select_from(scans.outerjoin(frames, frames.c.scan == scans.c.id))
        .where(scans.c.session_id == session_id)
        .order_by(scans.c.id)
    )
    return [
        Scan(
            scan_id=row.scan_id,
            series_instance_uid=row.series_instance_uid,
            xsi_type=row.xsi_type,
            type=row.type,
            quality=row.quality,
            note=row.note,
            modality=row.modality,
            frames=row.frames,
            attributes=row.attributes,
            resources=by_scan.get(row.id, []),
        )
        for row in rows
    ]

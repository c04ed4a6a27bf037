"""Builds a prearchive entry: scan IDs, types and attributes from the whole set; READY afterwards (§3.4, §7.6)."""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import names
from libs.common.commands import EntryFields
from libs.common.errors import UserError
from libs.common.outbox import Change, Origin, Site, all_resources, write_change
from libs.common.preferences import load_preferences
from libs.common.schema import files, scans, session_changes, session_ids, sessions
from services.archiver.builds import BuiltScan, Part, part_name, plan_build
from services.archiver.cases import Place, Session, Status
from services.archiver.changes import folders_taken
from services.archiver.contents import count_files
from services.archiver.rows import load_session, with_contents

SEPARATED = "separated"
"""Why an entry that was split is deleted."""


async def build_entry(
    connection: AsyncConnection, session_id: str, fields: EntryFields, origin: Origin, site: Site
) -> tuple[str, ...]:
    """Build a prearchive entry in the caller's transaction; the sessions that it is now: itself, or PET and MR.

    Safe to repeat: the same scans give the same session.

    Raises:
        UserError: the session is not in the prearchive.
    """
    entry = await lock_entry(connection, session_id)
    preferences = await load_preferences(connection, entry.project)
    entry = await with_contents(connection, entry, ())
    parts = plan_build(entry, preferences.pet_mr)
    await _write_scans(connection, [scan for part in parts for scan in part.scans])
    await _write_fields(connection, entry.id, fields)
    if len(parts) == 1:
        await _write_built(connection, entry.id, parts[0], origin, site)
        return (entry.id,)
    return await _separate(connection, entry, parts, origin, site)


async def lock_entry(connection: AsyncConnection, session_id: str) -> Session:
    """A prearchive entry, locked, without its contents. Raises `UserError` if it is none (any more)."""
    query = sa.select(sessions).where(sessions.c.id == session_id).with_for_update()
    entry = await load_session(connection, query)
    if entry is None or entry.place is not Place.PREARCHIVE:
        raise UserError("not-found", "Unknown prearchive session.")
    return entry


async def _write_scans(connection: AsyncConnection, built: Sequence[BuiltScan]) -> None:
    """Two statements, by way of IDs that no scan has: scans may swap theirs."""
    if not built:
        return
    columns = scans.c
    rows = sa.any_(sa.literal([scan.row for scan in built], sa.ARRAY(sa.BigInteger)))
    await connection.execute(
        sa.update(scans).where(columns.id == rows).values(scan_id=sa.literal("~") + sa.cast(columns.id, sa.Text))
    )
    query = sa.text(
        "update scans set scan_id = built.scan_id, xsi_type = built.xsi_type, modality = built.modality"
        " from unnest(cast(:rows as bigint[]), cast(:scan_ids as text[]), cast(:types as text[]),"
        " cast(:modalities as text[])) as built(row, scan_id, xsi_type, modality) where scans.id = built.row"
    )
    values = {
        "rows": [scan.row for scan in built],
        "scan_ids": [scan.scan_id for scan in built],
        "types": [scan.xsi_type for scan in built],
        "modalities": [scan.modality for scan in built],
    }
    await connection.execute(query, values)


async def _write_fields(connection: AsyncConnection, session_id: str, fields: EntryFields) -> None:
    told = {name: value for name, value in fields.model_dump().items() if value}
    if told:
        await connection.execute(sa.update(sessions).where(sessions.c.id == session_id).values(**told))


async def _write_built(connection: AsyncConnection, session_id: str, part: Part, origin: Origin, site: Site) -> None:
    added = await _count_untold(connection, session_id)
    revision = await connection.scalar(
        sa.update(sessions)
        .where(sessions.c.id == session_id)
        .values(
            status=Status.READY,
            status_reason="",
            xsi_type=part.xsi_type,
            attributes=part.attributes,
            revision=sessions.c.revision + 1,
            updated_at=datetime.now(UTC),
        )
        .returning(sessions.c.revision)
    )
    rows = await all_resources(connection, session_id)
    await count_files(connection, rows, revision or 0)
    scan_ids = {scan.scan_id for scan in part.scans}
    change = Change(session_id, "received", resources=rows, scans=scan_ids, files_added=added)
    await write_change(connection, change, origin, site)


async def _count_untold(connection: AsyncConnection, session_id: str) -> int:
    """Files that have come since the last change that was told: those of a RECEIVING entry are told by its build."""
    told = (
        sa.select(sa.func.coalesce(sa.func.max(session_changes.c.changed_at), datetime.min.replace(tzinfo=UTC)))
        .where(session_changes.c.session_id == session_id)
        .scalar_subquery()
    )
    query = (
        sa.select(sa.func.count()).select_from(files).where(files.c.session_id == session_id, files.c.created_at > told)
    )
    return (await connection.execute(query)).scalar_one()


async def _separate(
    connection: AsyncConnection, entry: Session, parts: Sequence[Part], origin: Origin, site: Site
) -> tuple[str, ...]:
    """Two entries READY, the original gone (§7.6). A half without a label of its own gets a number (§2.3)."""
    made = []
    for part in parts:
        session_id = await _open_part(connection, entry, part, site)
        await _give_scans(connection, entry.id, session_id, part)
        await _write_built(connection, session_id, part, origin, site)
        made.append(session_id)
    now = datetime.now(UTC)
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == entry.id)
        .values(place=Place.DELETED, deleted_at=now, updated_at=now, revision=sessions.c.revision + 1)
    )
    await write_change(connection, Change(entry.id, "deleted", reason=SEPARATED), origin, site)
    await _lead_on(connection, entry.id, made, origin)
    return tuple(made)


async def _lead_on(connection: AsyncConnection, session_id: str, halves: Sequence[str], origin: Origin) -> None:
    """Other imports whose files are in the entry, and whose own commit is still to come, have the halves instead."""
    query = sa.text(
        "with led as (delete from import_sessions where session_id = :session and outcome is null and uri <> ''"
        " and import_id is distinct from cast(:own as uuid) returning import_id, ordinal, uri)"
        " insert into import_sessions (import_id, session_id, ordinal, uri)"
        " select import_id, half, ordinal, uri from led cross join unnest(cast(:halves as text[])) as half"
    )
    await connection.execute(query, {"session": session_id, "own": origin.import_id, "halves": list(halves)})


async def _open_part(connection: AsyncConnection, entry: Session, part: Part, site: Site) -> str:
    number = await connection.scalar(sa.select(session_ids.next_value()))
    session_id = f"{site.site_id}_E{number:05d}"
    row = (await connection.execute(sa.select(sessions).where(sessions.c.id == entry.id))).mappings().one()
    now = datetime.now(UTC)
    values = {
        "id": session_id,
        "label": part_name(entry.label or entry.folder, part.word, await _labels_taken(connection, entry)),
        "folder": part_name(entry.folder, part.word, await folders_taken(connection, entry, entry.timestamp)),
        "prefix": names.session_prefix(entry.project, session_id),
        "revision": 0,
        "opened_by": None,
        "is_shared": False,
        "created_at": now,
        "updated_at": now,
    }
    await connection.execute(sa.insert(sessions).values(**{**row, **values}))
    return session_id


async def _labels_taken(connection: AsyncConnection, entry: Session) -> set[str]:
    """Labels that sessions of other studies have: more of this study joins the half that is there."""
    columns = sessions.c
    rows = await connection.scalars(
        sa.select(columns.label).where(
            columns.project == entry.project,
            columns.place.in_((Place.PREARCHIVE, Place.ARCHIVE)),
            columns.study_instance_uid != entry.study_instance_uid,
        )
    )
    return set(rows)


async def _give_scans(connection: AsyncConnection, giver: str, taker: str, part: Part) -> None:
    """Scans with all that belongs to them; the session's own resources, and assessors, go with the MR."""
    values = {"giver": giver, "taker": taker, "scans": [scan.row for scan in part.scans], "own": part.word == "MR"}
    for statement in (
        "update scans set session_id = :taker where id = any(:scans)",
        "update assessors set session_id = :taker where session_id = :giver and :own",
        "update resources set session_id = :taker"
        " where session_id = :giver and (scan = any(:scans) or (scan is null and :own))",
        "update files set session_id = :taker from resources r where r.id = files.resource and r.session_id = :taker",
    ):
        await connection.execute(sa.text(statement), values)

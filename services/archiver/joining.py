"""Moves the rows of a prearchive entry into the session that it joins: no object is copied (architecture §1)."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.schema import assessors as assessor_table
from libs.common.schema import resources, scans
from services.archiver.assessor_rows import give_assessors, rewrite
from services.archiver.cases import Case, Contents, PlannedFile, PlannedScan, Session
from services.archiver.contents import count_files, describe_scans, write_scans
from services.archiver.replacing import take_out, take_out_all


@dataclass(frozen=True)
class _Move:
    """Rows of scans: those that a scan ID has in the session that is joined, and had in the entry; 0 without a scan.

    Assessors are among them with negative rows.
    """

    entry: str
    target: str
    to_scans: Mapping[str, int]
    from_scans: Mapping[str, int]


async def move_contents(connection: AsyncConnection, case: Case, contents: Contents, target: Session) -> list[int]:
    """Give `target` what it gains of the entry; the resources that have changed. Call it with both locked.

    What it does not gain is kept with what is replaced, and can be restored until the grace time ends.
    """
    own = {scan.series_instance_uid: scan.row for scan in case.entry.scans}
    own |= {one.key: one.row for one in case.entry.assessors}
    planned = [scan for scan in contents.scans if scan.scan_id]
    known = [scan for scan in planned if scan.row is not None]
    await write_scans(connection, target.id, known)
    await _give_scans(connection, target.id, {own[s.series_instance_uid]: s for s in planned if s.row is None})
    assessors = contents.assessors
    await rewrite(connection, {one.row: one.stated for one in assessors if one.row is not None and one.is_altered})
    await give_assessors(connection, target.id, [own[one.key] for one in assessors if one.row is None])
    from_scans = {scan.scan_id: own[scan.series_instance_uid] for scan in planned}
    to_scans = {scan.scan_id: scan.row or from_scans[scan.scan_id] for scan in planned}
    from_scans |= {one.home: -own[one.key] for one in assessors}
    to_scans |= {one.home: -(one.row or own[one.key]) for one in assessors}
    move = _Move(case.entry.id, target.id, {**to_scans, "": 0}, {**from_scans, "": 0})
    gained = await _make_resources(connection, move, contents)
    revision = target.revision + 1
    successors = {one.replaces: one.file.ordinal for one in contents.files if one.replaces is not None}
    await take_out(connection, successors, revision)
    await _move_files(connection, move, contents)
    await take_out_all(connection, case.entry.id, case.entry.revision + 1)
    await connection.execute(sa.delete(resources).where(resources.c.session_id == case.entry.id))
    await connection.execute(sa.delete(scans).where(scans.c.session_id == case.entry.id))
    await connection.execute(sa.delete(assessor_table).where(assessor_table.c.session_id == case.entry.id))
    await count_files(connection, gained, revision)
    await describe_scans(connection, target.id)
    return gained


async def _give_scans(connection: AsyncConnection, target: str, planned: Mapping[int, PlannedScan]) -> None:
    query = sa.text(
        "update scans set session_id = :target, scan_id = given.scan_id"
        " from unnest(cast(:rows as bigint[]), cast(:ids as text[])) as given(row, scan_id) where scans.id = given.row"
    )
    values = {"target": target, "rows": list(planned), "ids": [scan.scan_id for scan in planned.values()]}
    await connection.execute(query, values)


async def _make_resources(connection: AsyncConnection, move: _Move, contents: Contents) -> list[int]:
    """The resources that gain files, made like the entry's where the session has none."""
    spots = sorted({_spot(one) for one in contents.files})
    values = {
        "entry": move.entry,
        "target": move.target,
        "sources": [move.from_scans[scan_id] for scan_id, _ in spots],
        "scans": [move.to_scans[scan_id] for scan_id, _ in spots],
        "labels": [label for _, label in spots],
    }
    make = (
        "insert into resources (session_id, scan, assessor, label, format, content)"
        " select :target, nullif(greatest(spot.scan, 0), 0), nullif(greatest(-spot.scan, 0), 0), r.label, r.format,"
        " r.content"
        " from unnest(cast(:sources as bigint[]), cast(:scans as bigint[]), cast(:labels as text[]))"
        " as spot(source, scan, label) join resources r on r.session_id = :entry"
        " and coalesce(r.scan, -r.assessor, 0) = spot.source and r.label = spot.label on conflict do nothing"
    )
    find = (
        "select r.id from unnest(cast(:scans as bigint[]), cast(:labels as text[])) as spot(scan, label)"
        " join resources r on r.session_id = :target"
        " and coalesce(r.scan, -r.assessor, 0) = spot.scan and r.label = spot.label order by r.id"
    )
    await connection.execute(sa.text(make), values)
    wanted = {name: values[name] for name in ("target", "scans", "labels")}
    return list(await connection.scalars(sa.text(find), wanted))


async def _move_files(connection: AsyncConnection, move: _Move, contents: Contents) -> None:
    query = sa.text(
        "update files set session_id = :target, resource = r.id, name = moved.name"
        " from unnest(cast(:rows as bigint[]), cast(:scans as bigint[]), cast(:labels as text[]),"
        " cast(:names as text[])) as moved(row, scan, label, name)"
        " join resources r on r.session_id = :target and coalesce(r.scan, -r.assessor, 0) = moved.scan"
        " and r.label = moved.label"
        " where files.id = moved.row"
    )
    values = {
        "target": move.target,
        "rows": [one.file.ordinal for one in contents.files],
        "scans": [move.to_scans[one.scan_id] for one in contents.files],
        "labels": [one.file.resource_label for one in contents.files],
        "names": [one.name for one in contents.files],
    }
    await connection.execute(query, values)


def _spot(planned: PlannedFile) -> tuple[str, str]:
    return planned.scan_id, planned.file.resource_label

"""Writes the scans, resources and files that a session gains, by sets."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.database import copy_rows
from libs.common.schema import resources, scans
from libs.common.stated import StatedResource, StatedScan, uid_of
from services.archiver.cases import Contents, PlannedFile, PlannedScan
from services.archiver.replacing import reserve_rows, take_out
from services.archiver.rows import Import

QUALITY = "usable"
"""XNAT's default label of a scan's quality (import semantics §4.7)."""
UNKNOWN_TYPE = "Unknown"
"""XNAT's scan type where there is no series description."""
RESOURCES = {
    "ECAT": StatedResource(format="ECAT", content="RAW"),
    "DICOM": StatedResource(format="DICOM", content="RAW"),
}
"""What a scan's resources are by label (§4.8); `secondary` is DICOM with its own name as content."""

_FILE_COLUMNS = (
    "session_id",
    "resource",
    "name",
    "object_key",
    "size_bytes",
    "md5",
    "sha256",
    "sop_instance_uid",
    "sop_class_uid",
    "instance_number",
    "number_of_frames",
    "import_id",
    "created_by",
    "created_at",
)


@dataclass(frozen=True, slots=True)
class Gain:
    """A resource that has changed."""

    row: int
    scan_id: str
    label: str


async def write_contents(
    connection: AsyncConnection,
    session_id: str,
    contents: Contents,
    submission: Import,
    revision: int,
    assessor_rows: Mapping[str, int] | None = None,
) -> list[Gain]:
    """Add the planned scans and files to a session; the resources that have changed. Assessors are written already."""
    homes = assessor_rows or {}
    scan_rows = await write_scans(connection, session_id, contents.scans)
    spots = sorted({(planned.scan_id, planned.file.resource_label) for planned in contents.files})
    stated = _stated(contents)
    gains = await _write_resources(
        connection,
        session_id,
        [_Spot(scan_rows.get(scan), homes.get(scan), scan, label, stated.get((scan, label))) for scan, label in spots],
    )
    ids = await reserve_rows(connection, len(contents.files)) if any(one.replaces for one in contents.files) else []
    successors = {one.replaces: row for one, row in zip(contents.files, ids, strict=False) if one.replaces is not None}
    await take_out(connection, successors, revision)
    await _copy_files(connection, session_id, contents.files, gains, submission, ids)
    await count_files(connection, [gain.row for gain in gains], revision)
    return gains


async def describe_scans(connection: AsyncConnection, session_id: str) -> None:
    """Give an archived session's new scans their type, from the series description, and quality (§4.7)."""
    description = sa.func.coalesce(scans.c.attributes["SeriesDescription"].astext, "")
    await connection.execute(
        sa.update(scans)
        .where(scans.c.session_id == session_id, sa.or_(scans.c.type == "", scans.c.quality == ""))
        .values(
            type=sa.case((scans.c.type != "", scans.c.type), (description == "", UNKNOWN_TYPE), else_=description),
            quality=sa.case((scans.c.quality == "", QUALITY), else_=scans.c.quality),
        )
    )


async def write_scans(
    connection: AsyncConnection, session_id: str, planned: Sequence[PlannedScan]
) -> Mapping[str, int]:
    rows = {scan.scan_id: scan.row for scan in planned if scan.row is not None}
    known = [{**_scan_values(scan), "row": scan.row} for scan in planned if scan.row is not None]
    if known:
        await connection.execute(sa.update(scans).where(scans.c.id == sa.bindparam("row")), known)
    new = [
        {**_scan_values(scan), **_stated_values(scan), "session_id": session_id, "scan_id": scan.scan_id}
        for scan in planned
        if scan.row is None
    ]
    if new:
        inserted = await connection.execute(sa.insert(scans).returning(scans.c.scan_id, scans.c.id), new)
        rows |= {row.scan_id: row.id for row in inserted}
    return rows


def _stated_values(scan: PlannedScan) -> dict[str, str]:
    """What a document says of a new scan; a scan that is there keeps what it has (§7.5)."""
    stated = scan.stated or StatedScan()
    return {"type": stated.type, "quality": stated.quality, "note": stated.note}


def _scan_values(scan: PlannedScan) -> dict[str, object]:
    return {
        "series_instance_uid": uid_of(scan.series_instance_uid),
        "series_key": None if uid_of(scan.series_instance_uid) else scan.series_instance_uid,
        "xsi_type": scan.xsi_type,
        "modality": scan.modality,
        "modalities": sorted(scan.modalities),
        "sop_class_uids": sorted(scan.sop_class_uids),
        "attributes": scan.attributes,
    }


@dataclass(frozen=True, slots=True)
class _Spot:
    """A resource to be, of a scan, an assessor or, without these rows, the session itself.

    `stated` is what a document says of it.
    """

    scan: int | None
    assessor: int | None
    scan_id: str
    label: str
    stated: StatedResource | None


def _stated(contents: Contents) -> Mapping[tuple[str, str], StatedResource]:
    described = [(scan.scan_id, scan.stated) for scan in contents.scans if scan.stated is not None]
    described += [("", contents.session)] if contents.session is not None else []
    found = {(scan_id, label): one for scan_id, stated in described for label, one in stated.resources.items()}
    return found | {(one.home, label): each for one in contents.assessors for label, each in one.resources.items()}


async def _write_resources(connection: AsyncConnection, session_id: str, spots: Collection[_Spot]) -> list[Gain]:
    if not spots:
        return []
    rows = [
        {
            "session_id": session_id,
            "scan": spot.scan,
            "assessor": spot.assessor,
            "label": spot.label,
            **(
                spot.stated or RESOURCES.get(spot.label, StatedResource(format="DICOM", content=spot.label))
            ).model_dump(),
        }
        for spot in spots
    ]
    await connection.execute(insert(resources).on_conflict_do_nothing(), rows)
    wanted = {(spot.scan, spot.assessor, spot.label): spot.scan_id for spot in spots}
    columns = resources.c
    found = await connection.execute(
        sa.select(columns.id, columns.scan, columns.assessor, columns.label)
        .where(columns.session_id == session_id)
        .order_by(columns.id)
    )
    return [Gain(row.id, wanted[spot], row.label) for row in found if (spot := tuple(row[1:])) in wanted]


async def _copy_files(
    connection: AsyncConnection,
    session_id: str,
    planned: Sequence[PlannedFile],
    gains: Sequence[Gain],
    submission: Import,
    ids: Sequence[int],
) -> None:
    """COPY the files' rows, under `ids` where these are known already.

    They came now, with their session locked, and not when the transaction began: a build may have come between.
    """
    now = datetime.now(UTC)
    rows = {(gain.scan_id, gain.label): gain.row for gain in gains}
    await copy_rows(
        connection,
        "files",
        (*(["id"] if ids else []), *_FILE_COLUMNS),
        (
            (
                *ids[number : number + 1],
                session_id,
                rows[one.scan_id, one.file.resource_label],
                one.name,
                one.file.object_key,
                one.file.size_bytes,
                one.file.md5,
                one.file.sha256,
                one.file.sop_instance_uid,
                one.file.sop_class_uid,
                one.file.instance_number,
                one.file.number_of_frames,
                submission.id,
                submission.login,
                now,
            )
            for number, one in enumerate(planned)
        ),
    )


async def count_files(connection: AsyncConnection, rows: Sequence[int], revision: int) -> None:
    """Count the files of resources that have changed with this revision."""
    query = sa.text(
        "update resources set file_count = counted.files, size_bytes = counted.bytes, revision = :revision"
        " from (select r.id, count(f.id) as files, coalesce(sum(f.size_bytes), 0) as bytes from resources r"
        " left join files f on f.resource = r.id where r.id = any(:rows) group by r.id) counted"
        " where resources.id = counted.id"
    )
    await connection.execute(query, {"rows": list(rows), "revision": revision})

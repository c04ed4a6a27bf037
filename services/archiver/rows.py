"""Reads what a merge is decided from, and locks what it will change."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.errors import Retryable
from libs.common.facts import fold
from libs.common.names import UNASSIGNED, clean_label
from libs.common.preferences import load_preferences
from libs.common.requests import Area, ImportRequest
from libs.common.schema import (
    import_series,
    import_sessions,
    imports,
    projects,
    scans,
    sessions,
    subjects,
)
from libs.common.stated import SESSION_KEY, StatedScan
from services.archiver import stated_scans
from services.archiver.aims import aim_of, policy_of
from services.archiver.assessor_rows import load_assessors
from services.archiver.cases import (
    Aim,
    Case,
    Codes,
    NewFile,
    Place,
    Preferred,
    Series,
    Session,
    StoredFile,
    StoredScan,
    Subject,
)

_SESSION_KEYS = frozenset({SESSION_KEY, "session"})
"""What stands for the series of a session's own resources: in documents, and in an entry that is archived later."""


@dataclass(frozen=True)
class Import:
    """A row of `imports`, as far as a merge needs it."""

    id: UUID
    login: str
    request: ImportRequest
    is_staged: bool
    is_ended: bool


async def load_import(connection: AsyncConnection, import_id: UUID) -> Import:
    """The import. Raises `Retryable` if its row is not there (yet)."""
    columns = imports.c
    row = (
        await connection.execute(
            sa.select(columns.login, columns.request, columns.staged_at, columns.outcome).where(columns.id == import_id)
        )
    ).one_or_none()
    if row is None:
        raise Retryable("import-unknown", f"import {import_id} has no row")
    request = ImportRequest.model_validate(row.request)
    return Import(import_id, row.login, request, row.staged_at is not None, row.outcome is not None)


async def load_open_entries(connection: AsyncConnection, import_id: UUID) -> list[str]:
    """The sessions of the import that have no outcome yet, in the order in which they are locked."""
    columns = import_sessions.c
    rows = await connection.scalars(
        sa.select(columns.session_id)
        .where(columns.import_id == import_id, columns.outcome.is_(None))
        .order_by(columns.session_id)
    )
    return list(rows)


async def lock_case(connection: AsyncConnection, submission: Import, session_id: str) -> Case | None:
    """Lock the entry and what it will join, and load all the facts; None if the entry has its outcome meanwhile."""
    entry = await load_session(connection, sa.select(sessions).where(sessions.c.id == session_id).with_for_update())
    if entry is None or session_id not in await load_open_entries(connection, submission.id):
        return None
    new_files = await load_new_files(connection, submission.id, session_id)
    present = {file.series_instance_uid for file in new_files}
    series = await load_series(connection, submission.id, session_id)
    codes = await load_codes(connection, entry.project)
    aim = aim_of(entry, submission.request, codes)
    target = await lock_target(connection, entry, aim)
    if target is not None:
        target = await with_contents(connection, target, present, stated_scans.scan_ids(series))
    return Case(
        entry,
        aim,
        stated_scans.policy_for(policy_of(submission.request, aim.area, codes), series, target),
        tuple(one for one in series if one.series_instance_uid in present or stated_scans.is_described(one)),
        tuple(new_files),
        target,
        await find_subject(connection, entry.project, aim.subject),
    )


async def find_archived(connection: AsyncConnection, entry_id: str, submission: Import) -> str | None:
    """The archived session that the entry would join as things are, without locking it."""
    entry = await load_session(connection, sa.select(sessions).where(sessions.c.id == entry_id))
    if entry is None:
        return None
    aim = aim_of(entry, submission.request, await load_codes(connection, entry.project))
    if aim.area is not Area.ARCHIVE:
        return None
    target = await load_session(connection, _archived(entry, aim))
    return None if target is None else target.id


async def find_subject(connection: AsyncConnection, project: str | None, named: str | None) -> Subject | None:
    """The project's subject of that label (without regard to case), or else of that ID (import semantics §2)."""
    if project is None or named is None:
        return None
    columns = subjects.c
    labels = {named.lower(), clean_label(named).lower()}
    is_id = columns.id == named
    row = (
        await connection.execute(
            sa.select(columns.id, columns.label)
            .where(columns.project == project, sa.or_(sa.func.lower(columns.label).in_(labels), is_id))
            .order_by(is_id, columns.id)
            .limit(1)
        )
    ).one_or_none()
    return None if row is None else Subject(row.id, row.label)


async def load_codes(connection: AsyncConnection, project: str | None) -> Codes:
    """The project's settings; those of a new project where there is none, with what the site prefers."""
    columns = projects.c
    row = (
        await connection.execute(
            sa.select(columns.prearchive_code, columns.quarantine_code).where(columns.id == project)
        )
    ).one_or_none()
    wanted = await load_preferences(connection, project)
    preferred = Preferred(wanted.pet_mr, wanted.matches_by_uid, wanted.prevents_cross_modality_merge)
    return Codes(preferred=preferred) if row is None else Codes(row.prearchive_code, row.quarantine_code, preferred)


async def lock_target(connection: AsyncConnection, entry: Session, aim: Aim) -> Session | None:
    """The session that the entry would join, locked, without its contents. Lock the entry first, always."""
    if aim.area is Area.ARCHIVE:
        # Two imports that make one new session meet here; the unique index behind it never lets both.
        key = f"{entry.project}/{aim.label}"
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(key, 0))))
        return await load_session(connection, _archived(entry, aim).with_for_update())
    if aim.timestamp is None or aim.folder is None:
        return None
    return await load_session(connection, _prearchived(entry, aim.timestamp, aim.folder).with_for_update())


def _archived(entry: Session, aim: Aim) -> "sa.Select[tuple[object, ...]]":
    """The session that is named: by its label, else by its ID, else by the label as it would be cleaned."""
    columns = sessions.c
    rank = sa.case((columns.label == aim.session, 0), (columns.id == aim.session, 1), else_=2)
    return (
        sa.select(sessions)
        .where(
            columns.project == entry.project,
            columns.place == Place.ARCHIVE,
            sa.or_(columns.label.in_({aim.session or aim.label, aim.label}), columns.id == (aim.session or "")),
        )
        .order_by(rank)
        .limit(1)
    )


def _prearchived(entry: Session, timestamp: str, folder: str) -> "sa.Select[tuple[object, ...]]":
    columns = sessions.c
    return sa.select(sessions).where(
        sa.func.coalesce(columns.project, UNASSIGNED) == (entry.project or UNASSIGNED),
        columns.timestamp == timestamp,
        columns.folder == folder,
        columns.place == Place.PREARCHIVE,
        columns.id != entry.id,
    )


async def load_session(connection: AsyncConnection, query: "sa.Select[tuple[object, ...]]") -> Session | None:
    """The one session that `query` finds, without its contents."""
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    names = Session.__dataclass_fields__.keys() - {"place", "scans", "files", "assessors"}
    return Session(place=Place(row["place"]), **{name: row[name] for name in names})


async def with_contents(
    connection: AsyncConnection, session: Session, series: Iterable[str], scan_ids: Collection[str] = ()
) -> Session:
    """The session with all its scans and assessors, and the files of those that `series` or `scan_ids` can meet."""
    columns = scans.c
    rows = await connection.execute(sa.select(scans).where(columns.session_id == session.id).order_by(columns.id))
    stored = tuple(
        StoredScan(
            row.id,
            row.scan_id,
            row.series_key or row.series_instance_uid,
            row.xsi_type,
            frozenset(row.modalities),
            frozenset(row.sop_class_uids),
            row.attributes,
        )
        for row in rows
    )
    keys = set(series)
    met = [scan.row for scan in stored if scan.series_instance_uid in keys or scan.scan_id in scan_ids]
    met += [0] if keys & _SESSION_KEYS else []
    assessors = await load_assessors(connection, session.id)
    met += [-one.row for one in assessors if one.key in keys]
    files = await _load_stored_files(connection, session.id, met)
    return replace(session, scans=stored, assessors=assessors, files=files)


async def _load_stored_files(
    connection: AsyncConnection, session_id: str, scan_rows: Sequence[int]
) -> tuple[StoredFile, ...]:
    query = sa.text(
        "select f.id, coalesce(r.scan, -r.assessor, 0), r.label, f.name, f.sop_instance_uid,"
        " f.sop_class_uid, f.sha256, f.object_key from files f join resources r on r.id = f.resource"
        " where r.session_id = :session and coalesce(r.scan, -r.assessor, 0) = any(:scans) order by f.id"
    )
    rows = await connection.execute(query, {"session": session_id, "scans": list(scan_rows)})
    return tuple(StoredFile(*row) for row in rows)


async def load_new_files(connection: AsyncConnection, import_id: UUID, session_id: str) -> list[NewFile]:
    """What the import has stored for the session, and nobody has merged yet."""
    query = sa.text(
        "select ordinal, path, series_instance_uid, resource_label, sop_instance_uid, coalesce(sop_class_uid, ''),"
        " coalesce(instance_number, ''), coalesce(number_of_frames, 1), staged_key, size_bytes, md5, sha256,"
        " file_name from import_members where import_id = :import_id and session_id = :session"
        " and verdict is null and staged_key is not null order by ordinal"
    )
    rows = await connection.execute(query, {"import_id": import_id, "session": session_id})
    return [NewFile(*row) for row in rows]


async def load_series(connection: AsyncConnection, import_id: UUID, session_id: str) -> list[Series]:
    """What the import's files of each series agree on, folded from its batches."""
    columns = import_series.c
    rows = await connection.execute(
        sa.select(
            columns.series_instance_uid,
            columns.modalities,
            columns.sop_class_uids,
            columns.attributes,
            columns.stated,
        )
        .where(columns.import_id == import_id, columns.session_id == session_id)
        .order_by(columns.series_instance_uid)
    )
    grouped = {uid: list(parts) for uid, parts in groupby(rows, key=lambda row: row.series_instance_uid)}
    return [
        Series(
            uid,
            frozenset(value for row in parts for value in row.modalities if value),
            frozenset(value for row in parts for value in row.sop_class_uids if value),
            fold(row.attributes for row in parts),
            min(
                (StatedScan(**row.stated) for row in parts if row.stated is not None),
                key=lambda s: s.ordinal,
                default=None,
            ),
        )
        for uid, parts in grouped.items()
    ]


def lost(case: Case) -> list[int]:
    """Members that were taken for files of a session which no longer has them: their bytes must be stored after all."""
    known = set() if case.target is None else {file.object_key for file in case.target.files}
    return [
        file.ordinal
        for file in case.files
        if not file.object_key.startswith(case.entry.prefix) and file.object_key not in known
    ]

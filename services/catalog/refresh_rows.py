"""The rows that a refresh compares and changes: sets, not loops."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import names
from libs.common.commands import NameRange, Refresh
from libs.common.database import copy_rows
from libs.common.errors import UserError
from libs.common.schema import assessors, files, replaced_files, resources, scans, sessions
from services.catalog.catalog_xml import PRIMARY, SECONDARY
from services.catalog.refresh import Row, Settled
from services.catalog.refresh_parts import Name
from services.catalog.sessions import LIVE

KEYS_AT_ONCE = 10_000
_TEXTS, _BIGINTS = sa.ARRAY(sa.Text), sa.ARRAY(sa.BigInteger)


@dataclass(frozen=True, slots=True)
class Session:
    """The session that is refreshed: `uri` is its address; the rows of its scans and assessors by their IDs."""

    id: str
    prefix: str
    uri: str
    scans: Mapping[str, int]
    assessors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Folder:
    """A resource's folder. `resource` is its row, None where it has none yet."""

    path: str
    scan: int | None
    scan_id: str | None
    label: str
    resource: int | None
    file_count: int = 0
    size_bytes: int = 0
    assessor: int | None = None
    assessor_id: str | None = None

    @property
    def catalog(self) -> str:
        """Where its catalog lies below the session's prefix."""
        return names.catalog_path(self.scan_id, self.label, self.assessor_id)


async def load_session(connection: AsyncConnection, session_id: str | None, *, lock: bool = False) -> Session:
    """The session, locked against every other change if `lock`. Raises `UserError` if it is not there any more."""
    columns = sessions.c
    query = sa.select(sessions).where(columns.id == session_id, columns.place.in_(LIVE))
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise UserError("not-found", "The session is not there any more.")
    if row.place == "archive":
        uri = names.archive_uri(row.project, row.subject_label, row.label)
    else:
        uri = names.prearchive_uri(row.project, row.timestamp, row.folder)
    found = await connection.execute(sa.select(scans.c.scan_id, scans.c.id).where(scans.c.session_id == session_id))
    by_id = {row.scan_id: row.id for row in found}
    made = await connection.execute(sa.select(assessors).where(assessors.c.session_id == session_id))
    return Session(row.id, row.prefix, uri, by_id, {row.id: row.row for row in made})


def is_within(path: str, asked: Refresh) -> bool:
    """Whether a refresh is to look at the folder `path`."""
    return not asked.folders or any(path == each or path.startswith(f"{each}/") for each in asked.folders)


async def load_folders(connection: AsyncConnection, session: Session, asked: Refresh) -> dict[str, Folder]:
    """The resources of a session that a refresh looks at, by their folders."""
    columns = resources.c
    rows = await connection.execute(
        sa.select(resources, scans.c.scan_id, assessors.c.id.label("assessor_id"))
        .select_from(resources.outerjoin(scans).outerjoin(assessors))
        .where(columns.session_id == session.id)
        .order_by(columns.id)
    )
    found = {}
    for row in rows:
        path = names.resource_folder(row.scan_id, row.label, row.assessor_id)
        if is_within(path, asked):
            counts = (row.file_count, row.size_bytes)
            found[path] = Folder(path, row.scan, row.scan_id, row.label, row.id, *counts, row.assessor, row.assessor_id)
    return found


def new_folder(path: str, session: Session) -> Folder | None:
    """The resource that a folder without a row is to become; None if the session has no such scan or assessor."""
    parts = path.split("/")
    if parts[0] == "RESOURCES":
        return Folder(path, None, None, parts[1], None)
    if parts[0] == "ASSESSORS":
        made = session.assessors.get(parts[1])
        return None if made is None else Folder(path, None, None, parts[2], None, 0, 0, made, parts[1])
    scan = session.scans.get(parts[1])
    return None if scan is None else Folder(path, scan, parts[1], parts[2], None)


async def load_rows(connection: AsyncConnection, folders: Iterable[Folder], within: NameRange) -> dict[int, list[Row]]:
    """Resource -> its files whose names lie in the range."""
    columns, found = files.c, defaultdict[int, list[Row]](list)
    query = sa.select(
        columns.resource, columns.id, columns.name, columns.object_key, columns.size_bytes, columns.md5, columns.sha256
    ).where(columns.resource == _any(_resources(folders)), *_in_range(within))
    for row in await connection.execute(query):
        found[row.resource].append(Row(*row[1:]))
    return found


async def load_names(connection: AsyncConnection, folder: Folder, *, is_read: bool) -> list[Name]:
    """The names of all files of a folder, with their sizes if they are to be read."""
    columns = files.c
    rows = await connection.execute(
        sa.select(columns.name, columns.size_bytes).where(columns.resource == folder.resource)
    )
    return [Name(name, size if is_read else None) for name, size in rows]


def _in_range(within: NameRange) -> Iterable[sa.ColumnElement[bool]]:
    name = files.c.name.collate("C")
    if within.first:
        yield name >= within.first
    if within.end:
        yield name < within.end


def _resources(folders: Iterable[Folder]) -> list[int]:
    return [folder.resource for folder in folders if folder.resource is not None]


def _any(values: Collection[int]) -> sa.CollectionAggregate[bool]:
    return sa.any_(sa.literal(list(values), _BIGINTS))


@dataclass(frozen=True, slots=True)
class Totals:
    """The files of one resource as they are counted."""

    files: int
    size_bytes: int


async def load_totals(connection: AsyncConnection, folders: Iterable[Folder]) -> dict[int, Totals]:
    """Resource -> what its rows of files add up to."""
    columns = files.c
    rows = await connection.execute(
        sa.select(columns.resource, sa.func.count(), sa.func.coalesce(sa.func.sum(columns.size_bytes), 0))
        .where(columns.resource == _any(_resources(folders)))
        .group_by(columns.resource)
    )
    return {resource: Totals(count, int(size)) for resource, count, size in rows}


async def load_owned(connection: AsyncConnection, keys: Sequence[str]) -> set[str]:
    """Those `keys` that any row has, of whatever session, or that can be restored."""
    owned: set[str] = set()
    for start in range(0, len(keys), KEYS_AT_ONCE):
        wanted = sa.any_(sa.literal(list(keys[start : start + KEYS_AT_ONCE]), _TEXTS))
        taken = sa.select(files.c.object_key).where(files.c.object_key == wanted)
        kept = sa.select(replaced_files.c.object_key).where(replaced_files.c.object_key == wanted)
        owned |= set(await connection.scalars(sa.union(taken, kept)))
    return owned


@dataclass(frozen=True, slots=True)
class Finder:
    """Who finds files: the command that refreshes, and whose it is."""

    command_id: UUID
    login: str


async def ensure_resource(connection: AsyncConnection, session: Session, folder: Folder) -> int:
    """The row of a folder's resource, made where there is none; DICOM and secondary are what an import makes (§4.8)."""
    if folder.resource is not None:
        return folder.resource
    is_dicom = folder.scan is not None and folder.label in {PRIMARY, SECONDARY}
    row = {
        "session_id": session.id,
        "scan": folder.scan,
        "assessor": folder.assessor,
        "label": folder.label,
        "format": "DICOM" if is_dicom else "",
        "content": ("RAW" if folder.label == PRIMARY else SECONDARY) if is_dicom else "",
    }
    await connection.execute(insert(resources).values(row).on_conflict_do_nothing())
    columns = resources.c
    where = (
        columns.session_id == session.id,
        columns.scan.is_not_distinct_from(folder.scan),
        columns.assessor.is_not_distinct_from(folder.assessor),
        columns.label == folder.label,
    )
    return int((await connection.execute(sa.select(columns.id).where(*where))).scalar_one())


async def write_settled(
    connection: AsyncConnection, session: Session, found: Mapping[int, Settled], finder: Finder
) -> None:
    """Remove, correct and add the rows of files; `found` is resource -> what changes."""
    removed = [row.id for settled in found.values() for row in settled.removed]
    if removed:
        await connection.execute(sa.delete(files).where(files.c.id == _any(removed)))
    await _correct(connection, found)
    await copy_rows(connection, "files", _COLUMNS, _new_rows(session, found, finder))


_COLUMNS = (
    *("session_id", "resource", "name", "object_key", "size_bytes", "md5", "sha256", "sop_instance_uid"),
    *("sop_class_uid", "instance_number", "number_of_frames", "command_id", "created_by"),
)


def _new_rows(session: Session, found: Mapping[int, Settled], finder: Finder) -> Iterable[Sequence[object]]:
    for resource, settled in found.items():
        for one, contents in settled.added.items():
            dicom = contents.dicom
            says = ("", "", "", 1)
            if dicom is not None:
                says = (dicom.sop_instance_uid, dicom.sop_class_uid, dicom.instance_number, dicom.number_of_frames)
            bytes_ = (contents.size_bytes, contents.md5, contents.sha256)
            yield (session.id, resource, one.name, one.object_key, *bytes_, *says, finder.command_id, finder.login)


_CORRECT = sa.text("""
update files set size_bytes = u.size_bytes, md5 = u.md5, sha256 = u.sha256, sop_instance_uid = coalesce(u.sop, ''),
    sop_class_uid = coalesce(u.class, ''), instance_number = coalesce(u.number, ''),
    number_of_frames = coalesce(u.frames, files.number_of_frames)
from unnest(
    cast(:ids as bigint[]), cast(:sizes as bigint[]), cast(:md5s as text[]), cast(:sha256s as text[]),
    cast(:sops as text[]), cast(:classes as text[]), cast(:numbers as text[]), cast(:frames as integer[])
) as u(id, size_bytes, md5, sha256, sop, class, number, frames)
where files.id = u.id
""")


async def _correct(connection: AsyncConnection, found: Mapping[int, Settled]) -> None:
    modified = [each for settled in found.values() for each in settled.modified.items()]
    if not modified:
        return
    dicom = [contents.dicom for _, contents in modified]
    values = {
        "ids": [row.id for row, _ in modified],
        "sizes": [contents.size_bytes for _, contents in modified],
        "md5s": [contents.md5 for _, contents in modified],
        "sha256s": [contents.sha256 for _, contents in modified],
        "sops": [each and each.sop_instance_uid for each in dicom],
        "classes": [each and each.sop_class_uid for each in dicom],
        "numbers": [each and each.instance_number for each in dicom],
        "frames": [each and each.number_of_frames for each in dicom],
    }
    await connection.execute(_CORRECT, values)


_COUNT = sa.text("""
update resources set file_count = coalesce(counted.files, 0), size_bytes = coalesce(counted.bytes, 0)
from unnest(cast(:rows as bigint[])) as u(id)
left join (
    select resource, count(*) as files, sum(size_bytes) as bytes from files
    where resource = any(:rows) group by resource
) counted on counted.resource = u.id
where resources.id = u.id
    and (file_count, size_bytes) is distinct from (coalesce(counted.files, 0), coalesce(counted.bytes, 0))
returning resources.id
""")


async def count_files(connection: AsyncConnection, rows: Collection[int]) -> set[int]:
    """Count the files of resources; those whose counts were others."""
    return set(await connection.scalars(_COUNT, {"rows": list(rows)}))


async def raise_revision(connection: AsyncConnection, session: Session, changed: Collection[int]) -> None:
    """The session's next revision, in which these resources have changed."""
    columns = sessions.c
    revision = await connection.scalar(
        sa.update(sessions)
        .where(columns.id == session.id)
        .values(revision=columns.revision + 1, updated_at=datetime.now(UTC))
        .returning(columns.revision)
    )
    await connection.execute(sa.update(resources).where(resources.c.id == _any(changed)).values(revision=revision))

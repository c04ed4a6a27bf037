"""Scans, resources and files of one session, in the archive or in the prearchive (clients §2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.errors import UserError
from libs.common.names import catalog_path
from libs.common.schema import assessors, files, resources, scans
from services.gateway.places import Session

ALL = frozenset({"all", "*"})


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan; `row_id` is its row's."""

    row_id: int
    scan_id: str
    series_instance_uid: str
    xsi_type: str
    type: str
    quality: str
    note: str
    modality: str
    attributes: Mapping[str, str | None]

    @property
    def description(self) -> str:
        """Its series description."""
        return self.attributes.get("SeriesDescription") or ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource; without a `scan_id` or an `assessor_id` it is the session's own."""

    id: int
    label: str
    format: str
    content: str
    file_count: int
    size_bytes: int
    scan_id: str | None
    scan_type: str
    assessor_id: str | None = None
    assessor_label: str = ""

    def uri(self, session: Session) -> str:
        """Its address, by its ID as XNAT's own (clients §2)."""
        above = "" if self.scan_id is None else f"/scans/{quote(self.scan_id)}"
        above = above if self.assessor_id is None else f"/assessors/{quote(self.assessor_id)}"
        return f"{session.uri}{above}/resources/{self.id if session.is_archived else quote(self.label)}"

    def catalog_key(self, session: Session) -> str:
        """Where its catalog lies in the bucket."""
        return session.prefix + catalog_path(self.scan_id, self.label, self.assessor_id)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose resources are meant: a scan's (its ID, `ALL`, or a comma list), an assessor's (label, ID, `ALL`), or the
    session's own.
    """

    scan: str | None = None
    assessor: str | None = None


OWN = Holder()


@dataclass(frozen=True, slots=True)
class File:
    """One file: its path below the resource, and its object."""

    resource: Resource
    name: str
    key: str
    size_bytes: int
    md5: str


async def list_scans(connection: AsyncConnection, session: Session, asked: str = "ALL") -> list[Scan]:
    """All scans of a session in the order of their numbers, or those that a comma list names."""
    columns = scans.c
    query = sa.select(
        columns.id,
        columns.scan_id,
        columns.series_instance_uid,
        columns.xsi_type,
        columns.type,
        columns.quality,
        columns.note,
        columns.modality,
        columns.attributes,
    ).where(columns.session_id == session.id)
    if asked.lower() not in ALL:
        query = query.where(columns.scan_id.in_([name.strip() for name in asked.split(",")]))
    found = [Scan(*row) for row in await connection.execute(query)]
    return sorted(found, key=lambda scan: _natural(scan.scan_id))


def _natural(scan_id: str) -> tuple[int, str]:
    """Numbers in their order, before and with what follows them: 2, 3-MR1, 10 (import semantics §4.6)."""
    digits = scan_id[: len(scan_id) - len(scan_id.lstrip("0123456789"))]
    return (int(digits[:18]) if digits else 1 << 62, scan_id)


async def find_scan(connection: AsyncConnection, session: Session, scan_id: str) -> Scan:
    """The scan of this ID. Raises `UserError` if there is none."""
    found = next((scan for scan in await list_scans(connection, session) if scan.scan_id == scan_id), None)
    if found is None:
        raise UserError("not-found", "There is no such scan.")
    return found


_RESOURCES = sa.select(
    resources.c.id,
    resources.c.label,
    resources.c.format,
    resources.c.content,
    resources.c.file_count,
    resources.c.size_bytes,
    scans.c.scan_id,
    sa.func.coalesce(scans.c.type, ""),
    assessors.c.id,
    sa.func.coalesce(assessors.c.label, ""),
).select_from(
    resources.outerjoin(scans, scans.c.id == resources.c.scan).outerjoin(
        assessors, assessors.c.row == resources.c.assessor
    )
)


def _resource_of(row: Sequence[Any]) -> Resource:
    return Resource(*row)


async def list_resources(connection: AsyncConnection, session: Session, of: Holder) -> list[Resource]:
    """The resources of scans or assessors, or those of the session itself."""
    query = _RESOURCES.where(resources.c.session_id == session.id, _is_of(of))
    found = [_resource_of(row) for row in await connection.execute(query)]
    return sorted(found, key=lambda each: (_natural(each.scan_id or ""), each.assessor_label, each.label))


def _is_of(of: Holder) -> sa.ColumnElement[bool]:
    if of.assessor is not None:
        return _is_named(of.assessor, resources.c.assessor, assessors.c.id, assessors.c.label)
    if of.scan is not None:
        return _is_named(of.scan, resources.c.scan, scans.c.scan_id)
    return sa.and_(resources.c.scan.is_(None), resources.c.assessor.is_(None))


def _is_named(asked: str, holder: sa.ColumnElement[object], *columns: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    if asked.lower() in ALL:
        return holder.is_not(None)
    names = [name.strip() for name in asked.split(",")]
    return sa.or_(*(column.in_(names) for column in columns))


async def find_resource(connection: AsyncConnection, session: Session, of: Holder, name: str) -> Resource:
    """The resource of this label, else of this ID. Raises `UserError` if there is none."""
    found = await list_resources(connection, session, of)
    by_id = [each for each in found if str(each.id) == name]
    for each in (*(each for each in found if each.label == name), *by_id):
        return each
    raise UserError("not-found", "There is no such resource.")


async def list_files(connection: AsyncConnection, of: Sequence[Resource]) -> list[File]:
    """The files of these resources, in their order and by name."""
    return await _files(connection, of, sa.true())


async def find_file(connection: AsyncConnection, of: Sequence[Resource], name: str) -> File:
    """The file of this path in the first of these resources that has it. Raises `UserError` if none has."""
    found = await _files(connection, of, files.c.name == name)
    if not found:
        raise UserError("not-found", "There is no such file.")
    return found[0]


async def _files(connection: AsyncConnection, of: Sequence[Resource], condition: sa.ColumnElement[bool]) -> list[File]:
    by_id = {each.id: each for each in of}
    columns = files.c
    query = sa.select(columns.resource, columns.name, columns.object_key, columns.size_bytes, columns.md5).where(
        columns.resource.in_(by_id), condition
    )
    found: dict[int, list[File]] = {each.id: [] for each in of}
    for row in await connection.execute(query.order_by(columns.name)):
        found[row.resource].append(File(by_id[row.resource], row.name, row.object_key, row.size_bytes, row.md5))
    return [each for resource in of for each in found[resource.id]]

"""Uploads as the router leaves them, in the tables and the store, for the tests of the archiver."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import copy_rows, transaction
from libs.common.messages import ImportFinished, ImportStaged, MembersRouted, SessionChanged
from libs.common.outbox import Site
from libs.common.requests import ImportRequest
from libs.common.schema import (
    import_batches,
    import_members,
    import_series,
    import_sessions,
    imports,
    projects,
    session_changes,
    sessions,
)
from libs.common.stated import StatedScan
from libs.common.storage import Store
from services.archiver.handlers import Told, merge_import, stage_members
from services.archiver.staging import Stager

MR = "1.2.840.10008.5.1.4.1.1.4"
CT = "1.2.840.10008.5.1.4.1.1.2"
AT = datetime(2024, 1, 31, 10, 15, 30, 123_000, UTC)
numbers = count(1)


@dataclass(frozen=True)
class File:
    """One file of an upload, as far as its header matters here."""

    path: str
    body: bytes
    uid: str
    series: str = "1.5"
    number: str = "1"
    study: str = "1.2"
    sop_class: str = MR
    modality: str = "MR"
    resource: str = "DICOM"
    stated: StatedScan | None = None


@dataclass(frozen=True)
class Entry:
    """What the router reads for a study: labels, and whether the header wants it archived."""

    project: str | None = "P"
    subject: str = "S1"
    label: str = "E1"
    auto_archive: bool | None = None


@dataclass
class Archive:
    """The archiver over real tables, with the uploads of a test."""

    engine: AsyncEngine
    store: Store
    site: Site = field(default_factory=lambda: Site("XNAT", "bucket"))

    async def project(self, project: str = "P", prearchive_code: int = 0, quarantine_code: int = 0) -> None:
        """Make a project."""
        row = {"id": project, "prearchive_code": prearchive_code, "quarantine_code": quarantine_code}
        await self.execute(sa.insert(projects).values(row))

    async def route(
        self,
        files: Sequence[File],
        request: ImportRequest | None = None,
        entries: Mapping[str, Entry] | None = None,
        batch_size: int = 500,
    ) -> UUID:
        """An import whose members are routed; `entries` by study, where they are not P / S1 / E1."""
        import_id = uuid4()
        key = f"uploads/{import_id}/source"
        await self.store.put(key, b"".join(file.body for file in files))
        studies = list(dict.fromkeys(file.study for file in files))
        async with transaction(self.engine) as connection:
            await connection.execute(sa.insert(imports).values(_import(import_id, request or ImportRequest())))
            ids = {study: f"XNAT_E{next(numbers):05d}" for study in studies}
            for ordinal, (study, session_id) in enumerate(ids.items()):
                entry = (entries or {}).get(study, Entry())
                await connection.execute(sa.insert(sessions).values(_entry(import_id, session_id, study, entry)))
                row = {"import_id": import_id, "session_id": session_id, "ordinal": ordinal}
                await connection.execute(sa.insert(import_sessions).values(row))
            offset = 0
            for number, start in enumerate(range(0, len(files), batch_size)):
                batch = files[start : start + batch_size]
                batch_id = uuid4()
                await connection.execute(sa.insert(import_batches).values(_batch(import_id, batch_id, number, batch)))
                await connection.execute(sa.insert(import_series), _series(import_id, batch_id, batch, ids))
                rows = []
                for ordinal, file in enumerate(batch, start):
                    rows.append(_member(import_id, batch_id, ordinal, key, offset, file, ids[file.study]))
                    offset += len(file.body)
                await copy_rows(connection, "import_members", list(rows[0]), [list(row.values()) for row in rows])
        return import_id

    async def pretend_staged(self, import_id: UUID) -> None:
        """Write what staging writes, without the bytes."""
        async with self.engine.begin() as connection:
            await connection.execute(
                sa.text(
                    "update import_members m set staged_key = s.prefix || m.ordinal, md5 = 'md5 ' || m.ordinal,"
                    " sha256 = 'sha256 ' || m.ordinal from sessions s"
                    " where s.id = m.session_id and m.import_id = :import_id"
                ),
                {"import_id": import_id},
            )
            await connection.execute(
                sa.update(import_batches).where(import_batches.c.import_id == import_id).values(staged_at=AT)
            )
            await connection.execute(sa.update(imports).where(imports.c.id == import_id).values(staged_at=AT))

    async def stage(self, import_id: UUID) -> list[ImportStaged]:
        """Stage every batch; what the last one told."""
        told: list[ImportStaged] = []
        for batch_id in await self.batches(import_id):
            told = await self.stage_batch(import_id, batch_id)
        return told

    async def stage_batch(self, import_id: UUID, batch_id: UUID) -> list[ImportStaged]:
        """Stage one batch."""
        message = MembersRouted(import_id=import_id, batch_id=batch_id)
        return await stage_members(message, Stager(self.store), self.engine)

    async def batches(self, import_id: UUID) -> list[UUID]:
        """The import's batches, in order."""
        query = sa.select(import_batches.c.id).where(import_batches.c.import_id == import_id).order_by("ordinal")
        async with self.engine.begin() as connection:
            return list((await connection.execute(query)).scalars())

    async def merge(self, import_id: UUID) -> list[Told]:
        """Merge once."""
        return await merge_import(ImportStaged(import_id=import_id), self.engine, self.site)

    async def land(self, files: Sequence[File], request: ImportRequest | None = None, **route: object) -> "Landed":
        """Route, stage, merge and catalogue an upload."""
        import_id = await self.route(files, request, **route)  # type: ignore[arg-type]
        await self.stage(import_id)
        await self.merge(import_id)
        await self.execute(
            sa.update(session_changes).where(session_changes.c.import_id == import_id).values(catalogued_at=AT)
        )
        await self.merge(import_id)
        return await self.landed(import_id)

    async def landed(self, import_id: UUID) -> "Landed":
        """What became of an import."""
        outcome = await self.row(sa.select(imports).where(imports.c.id == import_id))
        entries = await self.rows(
            sa.select(import_sessions).where(import_sessions.c.import_id == import_id).order_by("ordinal")
        )
        members = await self.rows(
            sa.select(import_members).where(import_members.c.import_id == import_id).order_by("ordinal")
        )
        return Landed(
            import_id,
            str(outcome["outcome"]),
            str(outcome["code"]),
            [str(entry["uri"]) for entry in entries],
            [str(entry["outcome"]) for entry in entries],
            [str(entry["code"]) for entry in entries],
            [str(member["verdict"]) for member in members],
            [str(entry["session_id"]) for entry in entries],
        )

    async def files(self, label: str = "E1", place: str = "archive") -> list[tuple[str, str, str]]:
        """Scan ID, resource label and name of every file of a session."""
        query = sa.text(
            "select c.scan_id, r.label, f.name from files f join resources r on r.id = f.resource"
            " join scans c on c.id = r.scan join sessions s on s.id = c.session_id"
            " where s.label = :label and s.place = :place order by 1, 2, 3"
        )
        async with self.engine.begin() as connection:
            rows = await connection.execute(query, {"label": label, "place": place})
            return [(row[0], row[1], row[2]) for row in rows]

    async def bodies(self, label: str = "E1", place: str = "archive") -> dict[str, bytes]:
        """The bytes of a session's files, by `scan/name`."""
        query = sa.text(
            "select c.scan_id || '/' || f.name as name, f.object_key, f.size_bytes from files f"
            " join resources r on r.id = f.resource join scans c on c.id = r.scan"
            " join sessions s on s.id = c.session_id where s.label = :label and s.place = :place"
        )
        async with self.engine.begin() as connection:
            rows = (await connection.execute(query, {"label": label, "place": place})).all()
        return {row.name: await self.store.read(row.object_key, 0, row.size_bytes + 1) for row in rows}

    async def rows(self, query: sa.Executable) -> list[dict[str, object]]:
        async with self.engine.begin() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def row(self, query: sa.Executable) -> dict[str, object]:
        (row,) = await self.rows(query)
        return row

    async def execute(self, statement: sa.Executable) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(statement)


@dataclass(frozen=True)
class Landed:
    """What became of an import: its outcome and code, then by session in the order of the answer, then by member."""

    id: UUID
    outcome: str
    code: str
    uris: list[str]
    outcomes: list[str]
    codes: list[str]
    verdicts: list[str]
    sessions: list[str]


def _import(import_id: UUID, request: ImportRequest) -> dict[str, object]:
    return {
        "id": import_id,
        "login": "admin",
        "request": request.model_dump(mode="json"),
        "size_bytes": 1,
        "sha256": "",
        "listed_at": AT,
    }


def _entry(import_id: UUID, session_id: str, study: str, entry: Entry) -> dict[str, object]:
    return {
        "id": session_id,
        "place": "opening",
        "status": "BUILDING",
        "project": entry.project,
        "subject_label": entry.subject,
        "label": entry.label,
        "timestamp": "20240131_101530123",
        "folder": session_id,
        "prefix": f"sessions/{entry.project or 'Unassigned'}/{session_id}/",
        "study_instance_uid": study,
        "auto_archive": entry.auto_archive,
        "opened_by": import_id,
    }


def _batch(import_id: UUID, batch_id: UUID, ordinal: int, files: Collection[File]) -> dict[str, object]:
    size = sum(len(file.body) for file in files)
    row = {"id": batch_id, "import_id": import_id, "ordinal": ordinal, "member_count": len(files), "size_bytes": size}
    return {**row, "routed_at": AT}


def _series(import_id: UUID, batch_id: UUID, files: Sequence[File], ids: Mapping[str, str]) -> list[dict[str, object]]:
    groups: dict[tuple[str, str], list[File]] = {}
    for file in files:
        groups.setdefault((file.study, file.series), []).append(file)
    return [
        {
            "batch_id": batch_id,
            "session_id": ids[study],
            "series_instance_uid": series,
            "import_id": import_id,
            "modalities": sorted({file.modality for file in group}),
            "sop_class_uids": sorted({file.sop_class for file in group}),
            "attributes": {"SeriesNumber": group[0].number, "SeriesDescription": f"series {series}"},
            "stated": None if group[0].stated is None else group[0].stated.model_dump(mode="json"),
        }
        for (study, series), group in groups.items()
    ]


def _member(
    import_id: UUID, batch_id: UUID, ordinal: int, key: str, offset: int, file: File, session_id: str
) -> dict[str, object]:
    return {
        "import_id": import_id,
        "ordinal": ordinal,
        "batch_id": batch_id,
        "path": file.path,
        "object_key": key,
        "byte_offset": offset,
        "span_bytes": len(file.body),
        "size_bytes": len(file.body),
        "encoding": "plain",
        "session_id": session_id,
        "series_instance_uid": file.series,
        "sop_instance_uid": file.uid,
        "sop_class_uid": file.sop_class,
        "instance_number": "1",
        "number_of_frames": 1,
        "resource_label": file.resource,
    }


def told_changes(told: Sequence[Told]) -> list[tuple[str, int]]:
    """Session and revision of each change that was told."""
    return [(one.session_id, one.revision) for one in told if isinstance(one, SessionChanged)]


def has_finished(told: Sequence[Told]) -> bool:
    """Whether the end of the import was told."""
    return any(isinstance(one, ImportFinished) for one in told)

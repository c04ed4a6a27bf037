"""A merged import in the tables, as the archiver leaves it, for the tests of the catalog service."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import transaction
from libs.common.messages import SessionChanged, SessionEvent
from libs.common.requests import ImportRequest
from libs.common.schema import (
    files,
    import_members,
    import_sessions,
    imports,
    projects,
    resources,
    scans,
    session_changes,
    sessions,
    subjects,
)

AT = datetime(2024, 1, 31, 10, 15, 33, 181_000, UTC)


class Tables:
    """Writes rows of one project `P`."""

    def __init__(self, engine: AsyncEngine, bucket: str) -> None:
        self.engine, self.bucket = engine, bucket

    async def insert(self, table: sa.Table, *rows: dict[str, object]) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(sa.insert(table), list(rows))

    async def execute(self, statement: sa.Update | sa.Delete) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(statement)

    async def project(self) -> None:
        await self.insert(projects, {"id": "P"})
        await self.insert(subjects, {"id": "XNAT_S00001", "project": "P", "label": "S1"})

    async def merged_import(self) -> UUID:
        """An import whose sessions are all merged, so that only catalogs are missing."""
        import_id = uuid4()
        row = {
            "id": import_id,
            "login": "admin",
            "request": ImportRequest().model_dump(mode="json"),
            "size_bytes": 5000,
            "sha256": "",
            "merged_at": AT,
        }
        await self.insert(imports, row)
        return import_id

    async def session(self, session_id: str, place: str = "archive", project: str | None = "P") -> None:
        row = {
            "id": session_id,
            "place": place,
            "status": "ARCHIVED" if place == "archive" else "READY",
            "project": project,
            "subject_id": "XNAT_S00001" if place == "archive" else None,
            "subject_label": "S1",
            "label": f"label of {session_id}",
            "timestamp": "20240131_101530123",
            "folder": session_id,
            "prefix": f"sessions/{project or 'Unassigned'}/{session_id}/",
            "study_instance_uid": f"1.2.{session_id[-1]}",
            "xsi_type": "xnat:mrSessionData",
            "attributes": {"PatientName": "DOE^JOHN", "Modality": "MR", "StudyDate": None},
            "fields": {"xnat:mrSessionData/note": "asleep"},
        }
        await self.insert(sessions, row)

    async def scan(self, session_id: str, scan_id: str) -> int:
        """A scan with its DICOM resource, whose row is the answer."""
        row = {
            "session_id": session_id,
            "scan_id": scan_id,
            "series_instance_uid": f"1.2.3.{scan_id}",
            "xsi_type": "xnat:mrScanData",
            "type": "t1",
            "quality": "usable",
            "modality": "MR",
            "modalities": ["MR"],
            "sop_class_uids": ["1.2.840.10008.5.1.4.1.1.4"],
            "attributes": {"SeriesDescription": "t1", "Rows": "64", "Columns": "64"},
        }
        async with transaction(self.engine) as connection:
            scan = (await connection.execute(sa.insert(scans).values(row).returning(scans.c.id))).scalar_one()
            resource = {
                "session_id": session_id,
                "scan": scan,
                "label": "DICOM",
                "format": "DICOM",
                "content": "RAW",
            }
            insert = sa.insert(resources).values(resource).returning(resources.c.id)
            return int((await connection.execute(insert)).scalar_one())

    async def files(self, session_id: str, resource: int, import_id: UUID, numbers: range) -> None:
        await self.insert(files, *(self._file(session_id, resource, import_id, number) for number in numbers))
        counts = {"file_count": len(numbers), "size_bytes": sum(1000 + number for number in numbers)}
        await self.execute(sa.update(resources).where(resources.c.id == resource).values(counts))

    def _file(self, session_id: str, resource: int, import_id: UUID, number: int) -> dict[str, object]:
        return {
            "session_id": session_id,
            "resource": resource,
            "name": f"{number:05d}.dcm",
            "object_key": self.key(session_id, import_id, number),
            "size_bytes": 1000 + number,
            "md5": f"{number:032x}",
            "sha256": f"{number:064x}",
            "sop_instance_uid": f"1.2.3.4.{number}",
            "instance_number": str(number),
            "import_id": import_id,
            "created_by": "admin",
            "created_at": AT,
        }

    def key(self, session_id: str, import_id: UUID, number: int) -> str:
        return f"sessions/P/{session_id}/{str(import_id)[:8]}/4_ab12cd34/{number:06d}_{number:05d}.dcm"

    async def change(
        self, session_id: str, revision: int, import_id: UUID, rows: list[int], verb: str = "archived"
    ) -> SessionChanged:
        """The session's next revision, in which the resources `rows` have changed; its message."""
        event = SessionEvent(
            session_id=session_id,
            import_id=import_id,
            revision=revision,
            xsi_type="xnat:mrSessionData",
            scans=["4"],
            files_added=3,
            files_replaced=0,
            file_count=3,
            size_bytes=3006,
            bucket=self.bucket,
            prefixes=[f"sessions/P/{session_id}/"],
        )
        row = {
            "session_id": session_id,
            "revision": revision,
            "import_id": import_id,
            "verb": verb,
            "event_id": uuid4(),
            "pipelines": True,
            "resources": rows,
            "event": event.model_dump(mode="json"),
            "project": "P",
            "changed_at": AT,
        }
        await self.insert(session_changes, row)
        await self.execute(sa.update(sessions).where(sessions.c.id == session_id).values(revision=revision))
        return SessionChanged(import_id=import_id, session_id=session_id, revision=revision)

    async def outcome_of_session(self, import_id: UUID, session_id: str, outcome: str, code: str = "") -> None:
        row = {"import_id": import_id, "session_id": session_id, "ordinal": 0, "outcome": outcome, "code": code}
        await self.insert(import_sessions, row)

    async def member(self, import_id: UUID, ordinal: int, **facts: object) -> None:
        row: dict[str, object] = {
            "import_id": import_id,
            "ordinal": ordinal,
            "path": f"dir/{ordinal}.dcm",
            "object_key": f"uploads/{import_id}/source",
            "byte_offset": 0,
            "span_bytes": 10,
            "size_bytes": 10,
            "encoding": "plain",
        }
        await self.insert(import_members, {**row, **facts})

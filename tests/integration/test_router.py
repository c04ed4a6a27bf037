"""The router over the real database: every member gets its session or its reason, twice and at once alike."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import end_import, open_engine, transaction, upgrade
from libs.common.errors import Retryable, UserError
from libs.common.messages import MembersFound, MembersRouted
from libs.common.requests import Destination, ImportRequest
from libs.common.schema import (
    import_batches,
    import_members,
    import_series,
    import_sessions,
    imports,
    memberships,
    project_aliases,
    projects,
    sessions,
    users,
)
from libs.common.storage import Store, memory_store
from services.router.handlers import route_members
from tests import builders
from tests.expectations import EXPECTATIONS, content, expect, folders, index, member_path
from tests.servers import Servers, unique_name

AT = datetime(2024, 1, 31, 10, 15, 30, 123_000, UTC)
TO_P = ImportRequest(destination=Destination(project="P"))
Row = Mapping[str, object]


@dataclass
class Uploads:
    """Uploads as the extractor leaves them, in the tables and the store."""

    engine: AsyncEngine
    store: Store
    moments: "count[int]" = field(default_factory=count)

    async def received(self, request: ImportRequest, login: str = "ann") -> UUID:
        """An import of its own millisecond."""
        import_id, at = uuid4(), AT.replace(second=next(self.moments))
        await self.insert(
            imports, id=import_id, login=login, request=request.model_dump(mode="json"), size_bytes=1, sha256="0",
            received_at=at,
        )  # fmt: skip
        return import_id

    async def found(self, import_id: UUID, files: Mapping[str, bytes], first: int = 0) -> MembersFound:
        """A batch of plain members in an object of their own."""
        batch_id, body = uuid4(), b"".join(files.values())
        await self.store.put(f"uploads/{batch_id}", body or b"-")
        await self.insert(
            import_batches, id=batch_id, import_id=import_id, ordinal=first, member_count=len(files), size_bytes=1
        )
        offset = 0
        for ordinal, (path, content_) in enumerate(files.items(), start=first):
            await self.insert(
                import_members, import_id=import_id, ordinal=ordinal, batch_id=batch_id, path=path,
                object_key=f"uploads/{batch_id}", byte_offset=offset, span_bytes=len(content_),
                size_bytes=len(content_), encoding="plain",
            )  # fmt: skip
            offset += len(content_)
        return MembersFound(import_id=import_id, batch_id=batch_id)

    async def route(self, message: MembersFound) -> list[MembersRouted]:
        return await route_members(message, self.store, self.engine, "XNAT")

    async def routed(self, files: Mapping[str, bytes], request: ImportRequest = TO_P, login: str = "ann") -> UUID:
        """An import of one batch, gone through the router."""
        message = await self.found(await self.received(request, login), files)
        assert await self.route(message) == [MembersRouted(import_id=message.import_id, batch_id=message.batch_id)]
        return message.import_id

    async def insert(self, table: sa.Table, **values: object) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(sa.insert(table).values(values))

    async def rows(self, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> Sequence[Row]:
        async with transaction(self.engine) as connection:
            rows = await connection.execute(sa.select(table).where(*conditions))
            return [dict(row._mapping) for row in rows]

    async def entries(self, import_id: UUID) -> dict[str, Row]:
        """The import's entries by study UID."""
        rows = await self.rows(sessions, sessions.c.opened_by == import_id)
        return {str(row["study_instance_uid"]): row for row in rows}

    async def entry(self, import_id: UUID) -> Row:
        (entry,) = (await self.entries(import_id)).values()
        return entry

    async def members(self, import_id: UUID) -> list[Row]:
        rows = await self.rows(import_members, import_members.c.import_id == import_id)
        return sorted(rows, key=lambda row: int(str(row["ordinal"])))


@pytest_asyncio.fixture(scope="module")
async def uploads(servers: Servers) -> AsyncIterator[Uploads]:
    name = unique_name()
    servers.create_database(name)
    url = servers.environment(name)["DATABASE_URL"]
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    made = Uploads(engine, memory_store())
    for project in ("P", "Q"):
        await made.insert(projects, id=project)
    await made.insert(project_aliases, alias="other name", project="Q")
    for login, admin in (("root", True), ("ann", False), ("guest", False)):
        await made.insert(users, login=login, password_hash="-", admin=admin)
    for project, login, role in (("P", "ann", "owner"), ("Q", "ann", "member"), ("Q", "guest", "collaborator")):
        await made.insert(memberships, project=project, login=login, role=role)
    yield made
    await engine.dispose()


async def test_a_member_gets_its_session_and_its_facts(uploads: Uploads) -> None:
    import_id = await uploads.routed({"d/1.dcm": builders.dicom_bytes(NumberOfFrames=3), "d/a.txt": b"text"})
    entry = await uploads.entry(import_id)
    image, text = await uploads.members(import_id)
    assert entry["place"] == "opening"
    assert entry["status"] == "BUILDING"
    assert (entry["project"], entry["subject_label"], entry["label"]) == ("P", "DOE_JOHN", "PAT01")
    assert (entry["timestamp"], entry["folder"]) == ("20240131_101500123", "PAT01")
    assert entry["prefix"] == f"sessions/P/{entry['id']}/"
    assert (entry["created_by"], entry["source"], entry["prevent_auto_commit"]) == ("ann", "SessionImporter", True)
    assert {name: image[name] for name in ("session_id", "series_instance_uid", "sop_instance_uid", "verdict")} == {
        "session_id": entry["id"],
        "series_instance_uid": builders.uid("series", 1),
        "sop_instance_uid": builders.uid("instance", 1),
        "verdict": None,
    }
    assert (image["instance_number"], image["number_of_frames"], image["resource_label"]) == ("1", 3, "DICOM")
    assert (text["session_id"], text["verdict"], text["reason"]) == (None, "skipped", "not DICOM: text")
    (batch,) = await uploads.rows(import_batches, import_batches.c.import_id == import_id)
    assert batch["routed_at"] is not None


async def test_what_the_sender_says_is_on_the_entry(uploads: Uploads) -> None:
    request = ImportRequest(
        destination=Destination(project="Q", subject="S 1", session="E1"), auto_archive=False, visit="V", protocol="R",
        timezone="Europe/Berlin", source="uploader", prevent_anon=True,
    )  # fmt: skip
    entry = await uploads.entry(await uploads.routed({"1": builders.dicom_bytes(PatientComments="AA:true")}, request))
    assert (entry["project"], entry["subject_label"], entry["label"]) == ("Q", "S_1", "E1")
    assert (entry["auto_archive"], entry["prevent_anon"]) == (False, True)
    assert (entry["visit"], entry["protocol"]) == ("V", "R")
    assert (entry["timezone"], entry["source"]) == ("Europe/Berlin", "uploader")


@pytest.mark.parametrize(
    ("login", "elements", "project"),
    [
        ("ann", {"StudyDescription": "P"}, "P"),
        ("ann", {"AccessionNumber": "other name"}, "Q"),
        ("ann", {"PatientComments": "Project:nothing", "StudyDescription": "Q"}, "Q"),
        ("guest", {"PatientComments": "Project:Q", "StudyDescription": "P"}, None),
        ("root", {"PatientComments": "Project:Q AA:true"}, "Q"),
        ("nobody", {"StudyDescription": "P"}, None),
        ("ann", {"StudyDescription": "p"}, None),
    ],
)
async def test_a_header_names_a_project_only_where_the_user_may_import(
    uploads: Uploads, login: str, elements: dict[str, str], project: str | None
) -> None:
    """Import semantics §4.1."""
    import_id = await uploads.routed({"1": builders.dicom_bytes(**elements)}, ImportRequest(), login)
    entry = await uploads.entry(import_id)
    assert entry["project"] == project
    assert entry["prefix"] == f"sessions/{project or 'Unassigned'}/{entry['id']}/"
    assert entry["auto_archive"] is (True if "AA" in str(elements) else None)


async def test_each_study_has_an_entry_with_a_folder_of_its_own(uploads: Uploads) -> None:
    files = {str(n): builders.dicom_bytes(StudyInstanceUID=builders.uid("study", n % 3)) for n in range(7)}
    import_id = await uploads.routed(files)
    entries = await uploads.entries(import_id)
    assert sorted(str(entry["folder"]) for entry in entries.values()) == ["PAT01", "PAT01_1", "PAT01_2"]
    joined = await uploads.rows(import_sessions, import_sessions.c.import_id == import_id)
    assert {row["session_id"]: row["ordinal"] for row in joined} == {
        entries[builders.uid("study", n)]["id"]: n for n in range(3)
    }


async def test_imports_of_the_same_millisecond_get_different_folders(uploads: Uploads) -> None:
    files = {"1": builders.dicom_bytes(PatientID="SAME")}
    received = [await uploads.received(TO_P) for _ in range(4)]
    async with transaction(uploads.engine) as connection:
        await connection.execute(sa.update(imports).where(imports.c.id.in_(received)).values(received_at=AT))
    await asyncio.gather(*[uploads.route(await uploads.found(import_id, files)) for import_id in received])
    found = [(await uploads.entry(import_id))["folder"] for import_id in received]
    assert sorted(map(str, found)) == ["SAME", "SAME_1", "SAME_2", "SAME_3"]


async def test_batches_at_once_agree_on_the_entries(uploads: Uploads) -> None:
    import_id = await uploads.received(TO_P)
    batches = []
    for batch in range(6):
        studies = [builders.uid("study", n) for n in range(8)]
        files = {
            f"{batch}-{n}": builders.dicom_bytes(StudyInstanceUID=study, SOPInstanceUID=builders.uid(batch, n))
            for n, study in enumerate(reversed(studies) if batch % 2 else studies)
        }
        batches.append(await uploads.found(import_id, files, first=(5 - batch) * 100))
    await asyncio.gather(*(uploads.route(message) for message in batches))
    entries = await uploads.entries(import_id)
    assert len(entries) == 8
    assert len({entry["folder"] for entry in entries.values()}) == 8
    members = await uploads.members(import_id)
    assert {row["session_id"] for row in members} == {entry["id"] for entry in entries.values()}
    joined = await uploads.rows(import_sessions, import_sessions.c.import_id == import_id)
    assert sorted(int(str(row["ordinal"])) for row in joined) == list(range(8))


async def test_a_batch_that_has_no_labels_leaves_those_of_the_first(uploads: Uploads) -> None:
    import_id = await uploads.received(TO_P)
    await uploads.route(await uploads.found(import_id, {"1": builders.dicom_bytes()}))
    await uploads.route(await uploads.found(import_id, {"2": builders.dicom_bytes(PatientID="B")}, first=9))
    assert (await uploads.entry(import_id))["label"] == "PAT01"


async def test_a_second_delivery_changes_nothing(uploads: Uploads) -> None:
    import_id = await uploads.received(TO_P)
    message = await uploads.found(import_id, {"1": builders.dicom_bytes(), "2": b"text"})

    async def everything() -> list[object]:
        tables = (
            sessions.select().where(sessions.c.opened_by == import_id),
            *(t.select().where(t.c.import_id == import_id).order_by(*t.primary_key) for t in
              (import_batches, import_members, import_series, import_sessions)),
        )  # fmt: skip
        async with transaction(uploads.engine) as connection:
            return [(await connection.execute(table)).all() for table in tables]

    told = await uploads.route(message)
    first = await everything()
    assert await uploads.route(message) == told
    assert await everything() == first


async def test_the_same_batch_twice_at_once_is_routed_once(uploads: Uploads) -> None:
    import_id = await uploads.received(TO_P)
    message = await uploads.found(import_id, {str(n): body for n, body in enumerate(builders.series(40))})
    told = await asyncio.gather(*(uploads.route(message) for _ in range(4)))
    assert told == [told[0]] * 4
    assert len(await uploads.rows(import_series, import_series.c.import_id == import_id)) == 1


async def test_a_batch_without_dicom_goes_on(uploads: Uploads) -> None:
    import_id = await uploads.routed({"1": b"text", "2": b"%PDF-1.4"})
    assert await uploads.entries(import_id) == {}
    assert {row["verdict"] for row in await uploads.members(import_id)} == {"skipped"}


async def test_an_import_that_has_ended_is_left_alone(uploads: Uploads) -> None:
    import_id = await uploads.received(TO_P)
    message = await uploads.found(import_id, {"1": builders.dicom_bytes()})
    await end_import(uploads.engine, import_id, "failed", UserError("gone", "gone"))
    assert await uploads.route(message) == []
    assert await uploads.entries(import_id) == {}


async def test_rows_that_are_not_there_yet_may_come(uploads: Uploads) -> None:
    with pytest.raises(Retryable):
        await uploads.route(MembersFound(import_id=uuid4(), batch_id=uuid4()))
    with pytest.raises(Retryable):
        await uploads.route(MembersFound(import_id=await uploads.received(TO_P), batch_id=uuid4()))


async def test_a_project_that_is_gone_is_said(uploads: Uploads) -> None:
    request = ImportRequest(destination=Destination(project="GONE"))
    message = await uploads.found(await uploads.received(request), {"1": builders.dicom_bytes()})
    with pytest.raises(UserError, match="GONE"):
        await uploads.route(message)


async def test_series_hold_what_their_files_agree_on(uploads: Uploads) -> None:
    files = builders.series(3, EchoTime="4.2", SeriesDescription="t1") + builders.series(1, 2, Modality="SR")
    import_id = await uploads.routed({str(n): body for n, body in enumerate(files)})
    rows = await uploads.rows(import_series, import_series.c.import_id == import_id)
    by_uid = {row["series_instance_uid"]: row for row in rows}
    attributes = by_uid[builders.uid("series", 1)]["attributes"]
    assert isinstance(attributes, dict)
    assert (attributes["EchoTime"], attributes["SeriesDescription"], attributes["SeriesNumber"]) == ("4.2", "t1", "1")
    assert by_uid[builders.uid("series", 2)]["modalities"] == ["SR"]


@pytest.mark.parametrize("folder", folders())
async def test_real_folders_are_routed_as_expected(uploads: Uploads, folder: str) -> None:
    """Issue 3: every DICOM file in its session and resource, every other one with its reason."""
    expected = expect(folder)
    rows = [row for row in index() if row["path"].startswith(f"{folder}/")]
    import_id = await uploads.routed({member_path(row): content(row) for row in rows})
    entries = await uploads.entries(import_id)
    assert {
        uid: {"subject_label": entry["subject_label"], "session_label": entry["label"]}
        for uid, entry in entries.items()
    } == {
        uid: {name: session[name] for name in ("subject_label", "session_label")}
        for uid, session in expected["sessions"].items()
    }
    members = await uploads.members(import_id)
    studies = {entry["id"]: uid for uid, entry in entries.items()}
    assert {
        row["path"]: (studies[row["session_id"]], row["series_instance_uid"], row["resource_label"])
        for row in members
        if row["session_id"]
    } == {
        file["path"]: (uid, scan["series_instance_uid"], label)
        for uid, session in expected["sessions"].items()
        for scan in session["scans"].values()
        for label, files in scan["resources"].items()
        for file in files
    }
    assert {row["path"] for row in members if row["verdict"] == "skipped"} == set(expected["others"])
    assert all(row["reason"] for row in members if row["verdict"] == "skipped")


@pytest.mark.parametrize("folder", folders())
def test_the_expectations_are_those_that_were_read(folder: str) -> None:
    """`python -m tests.expectations` writes them; a person reads the difference."""
    assert json.loads((EXPECTATIONS / f"{folder}.json").read_text()) == expect(folder)

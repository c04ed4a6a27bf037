"""The entry that imports of one study share: opened once, filled by many, left by a command, committed."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.command_rows import NewCommand, add_command, end_work
from libs.common.commands import Build, EntryFields
from libs.common.database import open_engine, transaction, upgrade
from libs.common.entries import take_back_empty
from libs.common.errors import UserError
from libs.common.messages import ImportStaged, SessionChanged
from libs.common.outbox import Origin
from libs.common.requests import Area, Atomicity, Destination, Duplicates, ImportRequest, Naming, Overwrite, Unparsable
from libs.common.schema import (
    configs,
    files,
    import_sessions,
    imports,
    memberships,
    metadata,
    projects,
    replaced_files,
    session_changes,
    sessions,
    users,
)
from libs.common.storage import memory_store
from services.archiver.building import build_entry
from services.archiver.commands import run_command
from tests import builders
from tests.integration.shared import SITE, Imports, together
from tests.servers import Servers, unique_name

TO_P = Destination(project="P")


@pytest_asyncio.fixture(scope="module")
async def engine(servers: Servers) -> AsyncIterator[AsyncEngine]:
    name = unique_name()
    servers.create_database(name)
    url = servers.environment(name)["DATABASE_URL"]
    await asyncio.to_thread(upgrade, url)
    made = open_engine(url, connections=20)
    yield made
    await made.dispose()


@pytest_asyncio.fixture
async def sent(engine: AsyncEngine) -> Imports:
    """An empty database with projects P and Q, which are ann's."""
    made = Imports(engine, memory_store())
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    await made.execute(sa.text(f"truncate {tables} cascade"))
    await made.execute(sa.insert(projects).values([{"id": "P"}, {"id": "Q"}]))
    await made.execute(sa.insert(users).values(login="ann", password_hash="-", admin=False))
    rows = [{"project": project, "login": "ann", "role": "owner"} for project in "PQ"]
    await made.execute(sa.insert(memberships).values(rows))
    return made


def gradual(**more: object) -> ImportRequest:
    return ImportRequest.model_validate({"handler": "gradual-DICOM", "destination": TO_P, **more})


def dicom_zip(**more: object) -> ImportRequest:
    return ImportRequest.model_validate({"handler": "DICOM-zip", "destination": TO_P, **more})


def image(number: int, study: int = 1, **elements: object) -> bytes:
    own: dict[str, object] = {
        "StudyInstanceUID": builders.uid("study", study),
        "SeriesInstanceUID": builders.uid("series", 10 * study + 1),
        "SOPInstanceUID": builders.uid("sop", 1000 * study + number),
        "InstanceNumber": number,
    }
    return builders.dicom_bytes(**own | elements)


def images(numbers: range, study: int = 1, **elements: object) -> Mapping[str, bytes]:
    return {f"d/{number}.dcm": image(number, study, **elements) for number in numbers}


async def test_one_object_opens_an_entry_and_leaves_it_open(sent: Imports) -> None:
    landed = await sent.land({"1.dcm": image(1)}, gradual())
    (entry,) = await sent.entries()
    assert landed.outcome == "completed"
    assert landed.uris == [f"/prearchive/projects/P/{entry['timestamp']}/PAT01"]
    assert {name: entry[name] for name in ("status", "label", "folder", "is_shared", "opened_by", "xsi_type")} == {
        "status": "RECEIVING",
        "label": "PAT01",
        "folder": "PAT01",
        "is_shared": True,
        "opened_by": None,
        "xsi_type": "xnat:mrSessionData",
    }
    assert (entry["revision"], entry["auto_archive"], entry["prevent_auto_commit"], entry["source"]) == (
        1, None, False, "",
    )  # fmt: skip
    assert await sent.files(entry["id"]) == [("1", "1.dcm")]
    assert await sent.rows(sa.select(session_changes)) == []


async def test_fifty_objects_at_once_make_one_session(sent: Imports) -> None:
    bodies = [image(number) for number in range(50)]
    ids = await together(*(sent.received({"upload.dcm": body}, gradual()) for body in bodies))
    started = time.monotonic()
    await together(*(sent.route(import_id) for import_id in ids))
    await together(*(sent.stage(import_id) for import_id in ids))
    await together(*(sent.merge(import_id) for import_id in ids))
    seconds = time.monotonic() - started
    (entry,) = await sent.entries()
    assert await sent.bodies(entry["id"]) == set(bodies)
    assert entry["revision"] == 50
    uris = await sent.rows(sa.select(import_sessions.c.uri).distinct())
    assert [row["uri"] for row in uris] == [f"/prearchive/projects/P/{entry['timestamp']}/PAT01"]
    assert {row["outcome"] for row in await sent.rows(sa.select(imports.c.outcome))} == {"completed"}
    assert seconds < 60, seconds


async def test_everything_may_happen_twice(sent: Imports) -> None:
    import_id = await sent.received(images(range(3)), dicom_zip(), batch_size=1)
    for step in (sent.route, sent.stage, sent.merge):
        await together(step(import_id), step(import_id))
        await step(import_id)
    (entry,) = await sent.entries()
    assert len(await sent.files(entry["id"])) == 3
    assert entry["revision"] == 1


async def test_the_same_bytes_again_change_nothing(sent: Imports) -> None:
    await sent.land(images(range(3)), dicom_zip())
    again = await sent.land(images(range(3)), dicom_zip())
    (entry,) = await sent.entries()
    assert (again.outcome, set(again.verdicts)) == ("completed", {"identical"})
    assert (len(await sent.files(entry["id"])), entry["revision"]) == (3, 1)


async def test_other_bytes_of_an_instance_replace_it_and_the_old_ones_can_be_restored(sent: Imports) -> None:
    await sent.land({"1.dcm": image(1)}, gradual())
    landed = await sent.land({"1.dcm": image(1, PatientWeight="70")}, gradual())
    (entry,) = await sent.entries()
    assert landed.verdicts == ["replaced"]
    assert await sent.files(entry["id"]) == [("1", "1.dcm")]
    (old,) = await sent.rows(sa.select(replaced_files))
    assert (old["session_id"], old["revision"]) == (entry["id"], 2)


@pytest.mark.parametrize("label", [None, "E7"])
async def test_projects_studies_and_labels_have_entries_of_their_own(sent: Imports, label: str | None) -> None:
    for project in ("P", "Q", None):
        for study in (1, 2):
            destination = Destination(project=project, session=label)
            await sent.land({"1.dcm": image(1, study)}, gradual(destination=destination))
    entries = await sent.entries()
    assert sorted((e["project"] or "", e["label"]) for e in entries) == sorted(
        (project, label or "PAT01") for project in ("", "P", "Q") for _ in (1, 2)
    )
    assert len({(e["project"], e["timestamp"], e["folder"]) for e in entries}) == 6


async def test_a_session_that_nothing_names_is_a_dicom_upload(sent: Imports) -> None:
    landed = await sent.land({"1.dcm": image(1, PatientID="")}, gradual())
    (entry,) = await sent.entries()
    assert (entry["label"], entry["folder"]) == ("dicom_upload", "dicom_upload")
    assert landed.uris[0].endswith("/dicom_upload")


async def test_two_of_one_moment_and_folder_get_timestamps_of_their_own(sent: Imports) -> None:
    at = Destination(project="P", timestamp="T")
    for study in (1, 2, 3):
        await sent.land({"1.dcm": image(1, study)}, gradual(destination=at))
    assert sorted(entry["timestamp"] for entry in await sent.entries()) == ["T", "T_1", "T_2"]


async def test_a_dest_down_to_the_folder_joins_and_refuses_another_study(sent: Imports) -> None:
    """A09."""
    named = dicom_zip(destination=Destination(area=Area.PREARCHIVE, project="P", timestamp="T", folder="E"))
    first = await sent.land(images(range(2)), named)
    second = await sent.land(images(range(2, 4)), named)
    other = await sent.land(images(range(2), study=2), named)
    (entry,) = await sent.entries()
    assert first.uris == second.uris == ["/prearchive/projects/P/T/E"]
    assert (other.outcome, other.code, other.uris) == ("rejected", "dest-other-study", [])
    assert len(await sent.files(entry["id"])) == 4


async def test_a_named_entry_may_stand_beside_the_open_one_of_its_study(sent: Imports) -> None:
    await sent.land({"1.dcm": image(1)}, gradual())
    named = gradual(destination=Destination(project="P", timestamp="T", folder="E"))
    for number in (2, 3):
        landed = await sent.land({"x.dcm": image(number)}, named)
        assert landed.uris == ["/prearchive/projects/P/T/E"]
    await sent.land({"4.dcm": image(4)}, gradual())
    counts = {e["folder"]: len(await sent.files(e["id"])) for e in await sent.entries()}
    assert counts == {"PAT01": 2, "E": 2}


async def test_more_objects_open_a_built_entry_again(sent: Imports) -> None:
    await sent.land({"1.dcm": image(1)}, gradual())
    (entry,) = await sent.entries()
    await _build(sent, entry["id"])
    assert (await sent.entries())[0]["status"] == "READY"
    await sent.land({"2.dcm": image(2)}, gradual())
    (again,) = await sent.entries()
    assert (again["id"], again["status"]) == (entry["id"], "RECEIVING")
    await _build(sent, entry["id"])
    changes = await sent.rows(sa.select(session_changes).order_by(session_changes.c.revision))
    assert [(c["verb"], c["event"]["files_added"], c["event"]["file_count"]) for c in changes] == [
        ("received", 1, 1),
        ("received", 1, 2),
    ]


async def _build(sent: Imports, session_id: str) -> None:
    async with transaction(sent.engine) as connection:
        await build_entry(connection, session_id, EntryFields(), Origin("ann"), SITE)


@pytest.mark.parametrize("place", ["archive", "deleted", "merged"])
async def test_an_entry_that_has_left_the_prearchive_is_not_used_again(sent: Imports, place: str) -> None:
    await sent.land({"1.dcm": image(1)}, gradual())
    await sent.execute(sa.update(sessions).values(place=place))
    await sent.land({"2.dcm": image(2)}, gradual())
    (left,) = await sent.entries(place)
    (new,) = await sent.entries()
    assert (await sent.files(left["id"]), await sent.files(new["id"])) == ([("1", "1.dcm")], [("1", "2.dcm")])


@pytest.mark.parametrize("place", ["archive", "deleted", "merged"])
async def test_what_was_on_its_way_to_an_entry_that_leaves_gets_a_new_one(sent: Imports, place: str) -> None:
    """Nothing is lost when a command overtakes an import."""
    await sent.land({"1.dcm": image(1)}, gradual())
    late = await sent.received(images(range(2, 5)), dicom_zip(), batch_size=1)
    await sent.route(late)
    await sent.stage(late)
    await sent.execute(sa.update(sessions).values(place=place))
    await sent.merge(late)
    landed = await sent.catalogued(late)
    (new,) = await sent.entries()
    assert (landed.outcome, landed.verdicts) == ("completed", ["stored"] * 3)
    assert len(await sent.files(new["id"])) == 3
    assert landed.uris == [f"/prearchive/projects/P/{new['timestamp']}/{new['folder']}"]


@pytest.mark.parametrize("batch_size", [500, 1])
async def test_a_refused_import_leaves_nothing(sent: Imports, batch_size: int) -> None:
    """A17: the text names the file."""
    upload = {**images(range(2)), "d/3.dcm": b"some text", **images(range(4, 6))}
    landed = await sent.land(upload, dicom_zip(), batch_size=batch_size)
    assert (landed.outcome, landed.code) == ("rejected", "not-dicom")
    assert landed.detail.startswith("unable to read DICOM object 3.dcm")
    await sent.execute(sa.update(sessions).values(created_at=sa.func.now() - sa.text("interval '1 hour'")))
    async with transaction(sent.engine) as connection:
        await take_back_empty(connection)
    assert await sent.entries() == []
    assert await sent.rows(sa.select(files)) == []


async def test_a_refused_import_leaves_what_others_have_joined(sent: Imports) -> None:
    bad = await sent.received({**images(range(1)), "x.txt": b"text"}, dicom_zip(), batch_size=1)
    first, second = await sent.batches(bad)
    good = await sent.received({"7.dcm": image(7)}, gradual())
    await sent.route_batch(bad, first)
    await sent.route(good)
    await sent.route_batch(bad, second)
    await sent.stage(good)
    await sent.merge(good)
    (entry,) = await sent.entries()
    assert await sent.files(entry["id"]) == [("1", "7.dcm")]


async def test_ignoring_what_is_not_dicom_skips_it(sent: Imports) -> None:
    """A19."""
    upload = {**images(range(2)), "d/3.dcm": b"some text"}
    landed = await sent.land(upload, dicom_zip(unparsable=Unparsable.SKIP))
    assert (landed.outcome, landed.verdicts) == ("completed", ["stored", "stored", "skipped"])


async def test_an_upload_of_nothing_but_other_files_says_which_it_could_not_read(sent: Imports) -> None:
    landed = await sent.land({"a.txt": b"text", "b.txt": b"text"}, dicom_zip(unparsable=Unparsable.SKIP))
    assert (landed.outcome, landed.code) == ("rejected", "not-dicom")
    assert landed.detail.startswith("unable to read DICOM object b.txt")


@pytest.mark.parametrize(
    ("missing", "said"),
    [("SOPClassUID", "object 1.dcm contains no SOP Class UID"), ("SOPInstanceUID", "contains no SOP Instance UID")],
)
async def test_objects_without_uids_are_refused(sent: Imports, missing: str, said: str) -> None:
    landed = await sent.land({"1.dcm": image(1, **{missing: None})}, gradual())
    assert (landed.outcome, landed.code) == ("rejected", "uid-missing")
    assert said in landed.detail


async def test_files_keep_their_names_or_get_the_templates(sent: Imports) -> None:
    """A22, A23, A31."""
    await sent.land({"a/1 x.dcm": image(1), "b/1 x.dcm": image(2)}, dicom_zip())
    (entry,) = await sent.entries()
    names = [name for _, name in await sent.files(entry["id"])]
    study = builders.uid("study", 1)
    assert names[1] == "1_x.dcm"
    assert names[0].startswith(f"{study}-1-2-")
    await sent.land({"3.dcm": image(3)}, dicom_zip(naming=Naming.TEMPLATE))
    assert sum(name.startswith(f"{study}-1-3-") for _, name in await sent.files(entry["id"])) == 1


async def test_a_template_without_the_instance_leaves_one_file_a_series(sent: Imports) -> None:
    """A27."""
    template = {"tool": "siteConfig", "path": "dicomFileNameTemplate", "version": 1}
    await sent.execute(sa.insert(configs).values(contents="${StudyInstanceUID}-${SeriesNumber}", **template))
    landed = await sent.land(images(range(5)), dicom_zip(naming=Naming.TEMPLATE))
    (entry,) = await sent.entries()
    assert await sent.files(entry["id"]) == [("1", f"{builders.uid('study', 1)}-1.dcm")]
    assert landed.verdicts == ["skipped"] * 4 + ["stored"]


async def test_a_commit_builds_within_the_import(sent: Imports) -> None:
    landed = await sent.land(images(range(3)), dicom_zip(commit=True, visit="v1"))
    (entry,) = await sent.entries()
    assert landed.uris == [f"/prearchive/projects/P/{entry['timestamp']}/PAT01"]
    assert (entry["status"], entry["visit"]) == ("READY", "v1")
    (change,) = await sent.rows(sa.select(session_changes))
    assert (change["verb"], change["import_id"], change["event"]["file_count"]) == ("received", landed.id, 3)


@pytest.mark.parametrize("how", ["parameter", "dest", "code", "header"])
async def test_a_commit_archives_where_that_is_wanted(sent: Imports, how: str) -> None:
    """A46: also without a parameter."""
    more: dict[str, object] = {"auto_archive": True if how == "parameter" else None}
    if how == "dest":
        destination = Destination(area=Area.ARCHIVE, project="P", subject="S1", session="E1")
        more = {"destination": destination, "auto_archive": True}
    if how == "code":
        await sent.execute(sa.update(projects).values(prearchive_code=4))
    comments = "Project:P Subject:S1 Session:E1 AA:true" if how == "header" else "Subject:S1 Session:E1"
    landed = await sent.land(images(range(3), PatientComments=comments), dicom_zip(commit=True, **more))
    assert (landed.outcome, landed.uris) == ("completed", ["/archive/projects/P/subjects/S1/experiments/E1"])
    assert await sent.entries() == []
    (session,) = await sent.entries("archive")
    assert len(await sent.files(session["id"])) == 3


async def test_a_conflict_at_the_commit_is_the_imports_outcome(sent: Imports) -> None:
    archived = dicom_zip(commit=True, auto_archive=True)
    await sent.land(images(range(3)), archived)
    landed = await sent.land(images(range(3, 6)), archived)
    (entry,) = await sent.entries()
    assert (landed.outcome, landed.code, entry["status"]) == ("rejected", "conflict-session-exists", "CONFLICT")
    appended = await sent.land(
        images(range(6, 9)), dicom_zip(commit=True, auto_archive=True, overwrite=Overwrite.APPEND)
    )
    assert appended.outcome == "completed"
    (session,) = await sent.entries("archive")
    assert len(await sent.files(session["id"])) == 9


async def test_parallel_zips_of_one_session_commit_once_for_all(sent: Imports) -> None:
    """clients.md §4.2: a folder in four archives at once, each with an archive `dest`."""
    destination = Destination(area=Area.ARCHIVE, project="P", subject="S1", session="E1")
    request = dicom_zip(commit=True, auto_archive=True, destination=destination, duplicates=Duplicates.CONFLICT)
    ids = [await sent.received(images(range(5 * n, 5 * n + 5)), request) for n in range(4)]
    await together(*(sent.route(import_id) for import_id in ids))
    await together(*(sent.stage(import_id) for import_id in ids))
    await together(*(sent.merge(import_id) for import_id in ids))
    landed = [await sent.catalogued(import_id) for import_id in ids]
    assert {one.outcome for one in landed} == {"completed"}
    assert {uri for one in landed for uri in one.uris} == {"/archive/projects/P/subjects/S1/experiments/E1"}
    (session,) = await sent.entries("archive")
    assert len(await sent.files(session["id"])) == 20
    verbs = [row["verb"] for row in await sent.rows(sa.select(session_changes).order_by(session_changes.c.revision))]
    assert verbs == ["received", "archived"]


async def test_parallel_zips_that_a_commit_separates_all_find_the_halves(sent: Imports) -> None:
    """§7.6, PET and MR: who merges last commits for all; the others' entry has become two sessions meanwhile."""
    await sent.execute(sa.insert(configs).values(tool="separatePETMR", path="config", version=1, contents="separate"))
    pet = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Modality": "PT", "SeriesNumber": 2}
    pet["SeriesInstanceUID"] = builders.uid("series", "pet")
    destination = Destination(area=Area.ARCHIVE, project="P", subject="S1")
    request = dicom_zip(commit=True, auto_archive=True, destination=destination)
    bodies = (images(range(4)), images(range(4, 8), **pet))
    ids = [await sent.received(body, request) for body in bodies]
    for import_id in ids:
        await sent.route(import_id)
    await together(*(sent.stage(import_id) for import_id in ids))
    await together(*(sent.merge(import_id) for import_id in ids))
    landed = [await sent.catalogued(import_id) for import_id in ids]
    assert [(one.outcome, one.detail) for one in landed] == [("completed", "")] * 2
    halves = await sent.entries("archive")
    assert sorted(row["xsi_type"] for row in halves) == ["xnat:mrSessionData", "xnat:petSessionData"]
    assert [len(await sent.files(row["id"])) for row in halves] == [4, 4]
    assert {uri for one in landed for uri in one.uris} == {
        f"/archive/projects/P/subjects/S1/experiments/{row['label']}" for row in halves
    }


@pytest.mark.parametrize("how", ["rejected", "failed"])
async def test_a_commit_that_waits_for_another_import_is_told_when_that_one_ends_badly(sent: Imports, how: str) -> None:
    """Its client waits: not until the sweep."""
    waiting, other = [await sent.received(images(range(n, n + 5)), dicom_zip(commit=True)) for n in (0, 5)]
    for import_id in (waiting, other):
        await sent.route(import_id)
    await sent.stage(waiting)
    assert await sent.merge(waiting) == []
    told = await end_work(sent.engine, other, how, UserError("damaged", "a file is damaged"))
    assert ImportStaged(import_id=waiting) in told
    await sent.merge(waiting)
    assert (await sent.catalogued(waiting)).outcome == "completed"


async def test_a_command_that_waits_for_an_import_is_told_when_that_one_ends_badly(sent: Imports) -> None:
    await sent.land(images(range(5)), gradual())
    (entry,) = await sent.entries()
    other = await sent.received(images(range(5, 9)), gradual())
    await sent.route(other)
    async with transaction(sent.engine) as connection:
        command = await add_command(connection, NewCommand(uuid4(), "ann", Build(), entry["id"]))
    assert await run_command(command, sent.engine, SITE) == []
    told = await end_work(sent.engine, other, "rejected", UserError("damaged", "a file is damaged"))
    assert command in told
    assert any(isinstance(one, SessionChanged) for one in await run_command(command, sent.engine, SITE))


async def test_files_that_waited_for_a_build_are_counted_by_the_next_one(sent: Imports) -> None:
    """They came after it, however long before it their transaction began."""
    await sent.land(images(range(3)), gradual())
    (entry,) = await sent.entries()
    later = await sent.received(images(range(3, 7)), gradual())
    await sent.route(later)
    await sent.stage(later)
    async with transaction(sent.engine) as connection:
        await connection.execute(sa.select(sessions.c.id).where(sessions.c.id == entry["id"]).with_for_update())
        merging = asyncio.create_task(sent.merge(later))
        await asyncio.sleep(0.5)
        await build_entry(connection, entry["id"], EntryFields(), Origin("ann"), SITE)
    await merging
    async with transaction(sent.engine) as connection:
        await build_entry(connection, entry["id"], EntryFields(), Origin("ann"), SITE)
    changes = await sent.rows(sa.select(session_changes.c.event).order_by(session_changes.c.revision))
    assert [row["event"]["files_added"] for row in changes] == [3, 4]


async def test_direct_archive_is_hidden_until_it_is_archived(sent: Imports) -> None:
    landed = await sent.land(images(range(2)), dicom_zip(direct_archive=True))
    (entry,) = await sent.entries()
    assert (entry["is_direct"], entry["auto_archive"], entry["status"]) == (True, True, "RECEIVING")
    assert landed.uris == [f"/xapi/direct-archive/P/{builders.uid('study', 1)}/PAT01"]


async def test_an_entry_of_500_objects_takes_one_more_as_fast_as_the_first(sent: Imports) -> None:
    await sent.land(images(range(500)), dicom_zip())
    import_id = await sent.received({"x.dcm": image(501)}, gradual())
    await sent.route(import_id)
    await sent.stage(import_id)
    started = time.monotonic()
    await sent.merge(import_id)
    assert time.monotonic() - started < 3


async def test_si_joins_an_open_entry_and_builds_it_with_all_that_came(sent: Imports) -> None:
    """A08's way in, to an entry that objects come to."""
    await sent.land(images(range(2)), gradual())
    (entry,) = await sent.entries()
    destination = Destination(area=Area.PREARCHIVE, project="P", timestamp=entry["timestamp"], folder=entry["folder"])
    request = ImportRequest(destination=destination, overwrite=Overwrite.APPEND)
    landed = await sent.land(images(range(2, 4), study=2), request)
    assert landed.uris == [f"/prearchive/projects/P/{entry['timestamp']}/{entry['folder']}"]
    (built,) = await sent.entries()
    assert built["status"] == "READY"
    assert len(await sent.files(entry["id"])) == 4
    last = (await sent.rows(sa.select(session_changes).order_by(session_changes.c.revision)))[-1]
    assert (last["verb"], last["event"]["file_count"], len(last["resources"])) == ("received", 4, 2)


async def test_strict_archives_all_studies_of_a_zip_or_none(sent: Imports) -> None:
    archived = dicom_zip(commit=True, auto_archive=True)
    await sent.land(images(range(2), study=2, PatientID="E2"), archived)
    both = {**images(range(2), study=1, PatientID="E1"), **{f"x{k}": v for k, v in _other().items()}}
    strict = archived.model_copy(update={"atomicity": Atomicity.IMPORT})
    landed = await sent.land(both, strict)
    assert (landed.outcome, landed.code) == ("rejected", "conflict-session-exists")
    assert sorted((e["label"], e["status"]) for e in await sent.entries()) == [("E1", "READY"), ("E2", "CONFLICT")]
    assert [e["label"] for e in await sent.entries("archive")] == ["E2"]
    alone = await sent.land(images(range(2), study=1, PatientID="E1"), strict)
    assert (alone.outcome, alone.uris) == ("completed", ["/archive/projects/P/subjects/DOE_JOHN/experiments/E1"])


def _other() -> Mapping[str, bytes]:
    return images(range(5, 7), study=2, PatientID="E2")


async def test_batches_that_name_a_study_differently_share_its_entry(sent: Imports) -> None:
    files = {"1.dcm": image(1), "2.dcm": image(2, PatientID="other"), "3.dcm": image(3, PatientID="")}
    import_id = await sent.received(files, dicom_zip(), batch_size=1)
    batches = await sent.batches(import_id)
    await together(*(sent.route_batch(import_id, batch_id) for batch_id in batches))
    await sent.stage(import_id)
    await sent.merge(import_id)
    (entry,) = await sent.entries()
    assert len(await sent.files(entry["id"])) == 3

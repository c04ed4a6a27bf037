"""Commands over the real database: each is done once, whole, in its turn, and is told."""

import asyncio
import time

import sqlalchemy as sa

from libs.common.commands import (
    Archive as ArchiveCommand,
)
from libs.common.commands import (
    Build,
    Commit,
    Delete,
    EntryFields,
    Move,
    Purge,
    Restore,
    SetStatus,
    Validate,
)
from libs.common.messages import CommandReceived, SessionChanged
from libs.common.requests import Area, Destination, ImportRequest, Overwrite
from libs.common.schema import configs, files, replaced_files, resources, scans, session_changes, sessions
from tests.integration.commanded import do, ended, everything, give, receiving, run, session, verbs
from tests.integration.routed import Archive, Entry, File
from tests.integration.test_merge import some, to_archive, to_prearchive

ARCHIVED = "/archive/projects/P/subjects/S1/experiments/E1"
PET = "1.2.840.10008.5.1.4.1.1.128"


async def entry(archive: Archive, content: list[File], **route: object) -> str:
    """A READY entry in the prearchive."""
    landed = await archive.land(content, to_prearchive(), **route)
    return landed.sessions[0]


async def test_a_build_numbers_the_scans_of_a_receiving_entry_from_the_whole_set(archive: Archive) -> None:
    entry_id = await entry(archive, [*some(2), *some(1, "1.6", "1"), *some(1, "1.7", "2")])
    await archive.execute(sa.update(scans).where(scans.c.series_instance_uid == "1.5").values(scan_id="1"))
    await archive.execute(sa.update(scans).where(scans.c.series_instance_uid == "1.6").values(scan_id="9"))
    await receiving(archive, entry_id)
    done = await do(archive, entry_id, Build(fields=EntryFields(visit="V1")))
    assert done.outcome == "completed"
    assert done.result.uri.startswith("/prearchive/projects/P/")
    rows = await archive.rows(sa.select(scans).order_by("series_instance_uid"))
    assert [row["scan_id"] for row in rows] == ["1-MR1", "1-MR2", "2"]
    built = await session(archive, entry_id)
    assert (built["status"], built["xsi_type"], built["visit"]) == ("READY", "xnat:mrSessionData", "V1")
    change = await archive.row(sa.select(session_changes).order_by(sa.desc("revision")).limit(1))
    assert (change["verb"], len(change["resources"])) == ("received", 3)  # type: ignore[arg-type]
    assert await verbs(archive, entry_id) == ["received", "received"]


async def test_an_entry_becomes_a_new_session(archive: Archive) -> None:
    entry_id = await entry(archive, some(3))
    before = await archive.bodies(place="prearchive")
    done = await do(archive, entry_id, ArchiveCommand(xml_paths={"xnat:mrSessionData/note": "n"}))
    assert (done.outcome, done.result.uri, done.result.session_id) == ("completed", ARCHIVED, entry_id)
    assert await archive.bodies() == before
    archived = await session(archive, entry_id)
    assert (archived["status"], archived["subject_label"], archived["fields"]) == (
        "ARCHIVED",
        "S1",
        {"xnat:mrSessionData/note": "n"},
    )
    assert (await archive.row(sa.select(scans)))["type"] == "series 1.5"
    assert await verbs(archive, entry_id) == ["received", "archived"]
    again = await do(archive, entry_id, ArchiveCommand())
    assert (again.outcome, again.result.uri) == ("completed", ARCHIVED)


async def test_labels_come_from_the_command_then_its_xml_paths(archive: Archive) -> None:
    paths = {
        "xnat:mrSessionData/project": "P",
        "xnat:mrSessionData/subject_id": "Subject 2",
        "xnat:mrSessionData/label": "E 2",
    }
    first, second = await entry(archive, some(1)), await entry(archive, some(1, "1.6"))
    named = await do(archive, first, ArchiveCommand(session="E9", subject="S9", xml_paths=paths))
    assert named.result.uri == "/archive/projects/P/subjects/S9/experiments/E9"
    by_path = await do(archive, second, ArchiveCommand(xml_paths=paths))
    assert by_path.result.uri == "/archive/projects/P/subjects/Subject_2/experiments/E_2"
    assert (await session(archive, second))["fields"] == {}
    third = await entry(archive, some(1, "1.7"))
    other = await do(archive, third, ArchiveCommand(xml_paths={"xnat:mrSessionData/project": "Q"}))
    assert (other.outcome, other.code) == ("rejected", "conflict-project-differs")


async def test_an_entry_joins_a_session_by_its_rows(archive: Archive) -> None:
    target = (await archive.land(some(3), to_archive())).sessions[0]
    more = [*some(2), *some(2, mark="x"), *some(2, "1.6", "2"), *some(1, "1.7", "1")]
    entry_id = await entry(archive, more)
    refused = await do(archive, entry_id, ArchiveCommand())
    assert (refused.outcome, refused.code) == ("rejected", "conflict-session-exists")
    assert (await session(archive, entry_id))["status"] == "CONFLICT"
    done = await do(archive, entry_id, ArchiveCommand(overwrite=Overwrite.APPEND))
    assert (done.outcome, done.result.uri, done.result.session_id) == ("completed", ARCHIVED, target)
    assert await archive.files() == [
        ("1", "DICOM", "0.dcm"),
        ("1", "DICOM", "1.dcm"),
        ("1", "DICOM", "2.dcm"),
        ("1", "DICOM", "x0.dcm"),
        ("1", "DICOM", "x1.dcm"),
        ("1-MR2", "DICOM", "0.dcm"),
        ("2", "DICOM", "0.dcm"),
        ("2", "DICOM", "1.dcm"),
    ]
    counted = await archive.rows(sa.select(resources.c.file_count).order_by("id"))
    assert sorted(int(str(row["file_count"])) for row in counted) == [1, 2, 5]
    assert await archive.rows(sa.select(files).where(files.c.session_id == entry_id)) == []
    closed = await session(archive, entry_id)
    assert (closed["place"], closed["merged_into"]) == ("merged", target)
    assert await verbs(archive, target) == ["archived", "updated"]
    assert await verbs(archive, entry_id) == ["received", "conflict", "deleted"]


async def test_an_entry_whose_files_are_there_is_gone_and_changes_nothing(archive: Archive) -> None:
    target = (await archive.land(some(3), to_archive())).sessions[0]
    entry_id = await entry(archive, some(3))
    done = await do(archive, entry_id, ArchiveCommand())
    assert (done.outcome, done.result.session_id) == ("completed", target)
    assert await verbs(archive, target) == ["archived"]
    assert len(await archive.files()) == 3


async def test_what_delete_replaces_can_be_put_back(archive: Archive) -> None:
    target = (await archive.land(some(3), to_archive())).sessions[0]
    changed = [File("0.dcm", b"other bytes", "1.5.0"), File("n.dcm", b"another", "1.5.9")]
    entry_id = await entry(archive, changed)
    conflict = await do(archive, entry_id, ArchiveCommand(overwrite=Overwrite.APPEND))
    assert conflict.code == "conflict-matching-files"
    assert (await do(archive, entry_id, ArchiveCommand(overwrite=Overwrite.DELETE))).outcome == "completed"
    assert (await archive.bodies())["1/0.dcm"] == b"other bytes"
    assert len(await archive.rows(sa.select(replaced_files))) == 1
    restored = await do(archive, target, Restore())
    assert (restored.outcome, restored.result.uri) == ("completed", ARCHIVED)
    assert (await archive.bodies())["1/0.dcm"] == b"bytes 1.5 0"
    assert len(await archive.files()) == 4
    assert (await do(archive, target, Restore())).outcome == "completed"
    assert (await archive.bodies())["1/0.dcm"] == b"other bytes"


async def test_what_an_import_replaces_can_be_put_back(archive: Archive) -> None:
    target = (await archive.land(some(2), to_archive())).sessions[0]
    await archive.land([File("0.dcm", b"other", "1.5.0")], to_archive(overwrite=Overwrite.DELETE))
    assert (await do(archive, target, Restore(revision=2))).outcome == "completed"
    assert (await archive.bodies())["1/0.dcm"] == b"bytes 1.5 0"
    nothing = await do(archive, target, Restore(revision=9))
    assert (nothing.outcome, nothing.code) == ("rejected", "nothing-replaced")


async def test_a_commit_archives_where_it_or_the_entry_or_the_project_says_so(archive: Archive) -> None:
    stays = await entry(archive, some(1))
    assert (await do(archive, stays, Commit())).result.uri.startswith("/prearchive/")
    assert (await do(archive, stays, Commit(auto_archive=True))).result.uri == ARCHIVED
    by_entry = await entry(archive, some(1, "1.6", "2"))
    await archive.execute(sa.update(sessions).where(sessions.c.id == by_entry).values(auto_archive=True))
    assert (await do(archive, by_entry, Commit(auto_archive=False))).result.uri.startswith("/prearchive/")
    assert (await do(archive, by_entry, Commit())).result.uri == ARCHIVED
    await archive.project("Q", prearchive_code=5)
    there = Entry(project="Q")
    to_q = ImportRequest(destination=Destination(area=Area.PREARCHIVE, project="Q"))
    for body in (b"one", b"two"):
        landed = await archive.land([File("0.dcm", body, "1.5.0")], to_q, entries={"1.2": there})
        done = await do(archive, landed.sessions[0], Commit())
        assert done.result.uri == "/archive/projects/Q/subjects/S1/experiments/E1"
    query = sa.select(files.c.size_bytes).where(
        files.c.session_id.in_(sa.select(sessions.c.id).where(sessions.c.project == "Q"))
    )
    assert len(await archive.rows(query)) == 1


async def test_what_is_unassigned_is_not_archived(archive: Archive) -> None:
    entry_id = await entry(archive, some(1), entries={"1.2": Entry(project=None)})
    refused = await do(archive, entry_id, ArchiveCommand())
    assert (refused.outcome, refused.detail) == ("rejected", "Cannot archive sessions from the Unassigned folder.")
    assert (await session(archive, entry_id))["status"] == "READY"
    moved = await do(archive, entry_id, Move(project="P"))
    assert moved.result.uri.startswith("/prearchive/projects/P/")
    assert (await do(archive, entry_id, ArchiveCommand())).result.uri == ARCHIVED
    assert await verbs(archive, entry_id) == ["received", "moved", "archived"]


async def test_a_moved_entry_gets_a_new_timestamp_where_its_name_is_taken(archive: Archive) -> None:
    await archive.project("Q")
    first, second = await entry(archive, some(1)), await entry(archive, some(1, "1.6"))
    await archive.execute(sa.update(sessions).where(sessions.c.id == first).values(folder="F"))
    assert (await do(archive, first, Move(project="Q"))).outcome == "completed"
    await archive.execute(sa.update(sessions).where(sessions.c.id == second).values(folder="F"))
    moved = await do(archive, second, Move(project="Q"))
    assert moved.outcome == "completed"
    assert moved.result.uri != (await ended(archive, (await do(archive, first, Move(project="Q"))).id)).result.uri
    unknown = await do(archive, second, Move(project="X"))
    assert (unknown.outcome, unknown.code) == ("rejected", "project-unknown")


async def test_a_deleted_session_can_be_restored_until_it_is_purged(archive: Archive) -> None:
    target = (await archive.land(some(2), to_archive())).sessions[0]
    twin = (await archive.land(some(2), to_archive(), entries={"1.2": Entry(label="E2")})).sessions[0]
    early = await do(archive, target, Purge(reason="consent withdrawn"))
    assert (early.outcome, early.code) == ("rejected", "not-deleted")
    assert (await do(archive, target, Delete())).result.uri == ""
    assert len(await archive.files("E2")) == 2
    assert (await do(archive, target, Restore())).result.uri == ARCHIVED
    assert len(await archive.bodies()) == 2
    assert await verbs(archive, target) == ["archived", "deleted", "updated"]
    await do(archive, target, Delete())
    await archive.land(some(1), to_archive())
    taken = await do(archive, target, Restore())
    assert (taken.outcome, taken.code) == ("rejected", "conflict-name-taken")
    assert (await do(archive, target, Purge(reason="consent withdrawn"))).outcome == "completed"
    gone = await do(archive, target, Restore())
    assert (gone.outcome, gone.code) == ("rejected", "not-restorable")
    assert (await session(archive, twin))["place"] == "archive"


async def test_a_status_is_set_but_never_a_lock(archive: Archive) -> None:
    entry_id = await entry(archive, some(1))
    assert (await do(archive, entry_id, SetStatus(status="ERROR"))).outcome == "completed"
    assert (await session(archive, entry_id))["status"] == "ERROR"
    locked = await do(archive, entry_id, SetStatus(status="_BUILDING"))
    assert (locked.outcome, locked.code) == ("rejected", "parameter-invalid")
    await do(archive, entry_id, SetStatus(status="READY"))
    assert (await session(archive, entry_id))["status"] == "READY"


async def test_a_validation_names_all_that_is_in_the_way_and_changes_nothing(archive: Archive) -> None:
    await archive.land(some(2), to_archive())
    clashing = [File("0.dcm", b"other", "1.5.0", study="9.9"), File("c", b"c", "7.7", "1.8", "1", "9.9")]
    entry_id = await entry(archive, clashing, entries={"9.9": Entry(subject="S2")})
    before = await everything(archive)
    done = await do(archive, entry_id, Validate())
    assert done.outcome == "completed"
    assert [(line.code, line.type) for line in done.result.lines] == [
        (1, "CONFLICT"),
        (4, "FAIL"),
        (5, "CONFLICT"),
        (14, "CONFLICT"),
        (16, "CONFLICT"),
    ]
    assert await everything(archive) == before
    renamed = await entry(archive, some(1, "1.8", "1"))
    assert [line.code for line in (await do(archive, renamed, Validate())).result.lines] == [1, 17]
    fresh = await entry(archive, some(1), entries={"1.2": Entry(label="E7", subject="S7")})
    assert [line.code for line in (await do(archive, fresh, Validate())).result.lines] == [12]


async def test_a_command_waits_for_the_imports_that_were_accepted_before_it(archive: Archive) -> None:
    entry_id = await entry(archive, some(1))
    open_import = await archive.route(some(1, mark="x"), to_prearchive())
    await archive.execute(
        sa.text("update import_sessions set session_id = :entry where import_id = :id").bindparams(
            entry=entry_id, id=open_import
        )
    )
    first, second = await give(archive, entry_id, Build()), await give(archive, entry_id, ArchiveCommand())
    assert await run(archive, first) == []
    assert await run(archive, second) == []
    assert (await ended(archive, first)).outcome is None
    await archive.execute(
        sa.text("update import_sessions set outcome = 'merged' where import_id = :id").bindparams(id=open_import)
    )
    await archive.pretend_staged(open_import)
    told = await archive.merge(open_import)
    assert [one.command_id for one in told if isinstance(one, CommandReceived)] == [first, second]
    assert await run(archive, second) == [], "the earlier command comes first"
    told_next = await run(archive, first)
    assert [one.command_id for one in told_next if isinstance(one, CommandReceived)] == [second]
    assert any(isinstance(one, SessionChanged) for one in await run(archive, second))


async def test_pet_and_mr_are_separated_where_the_site_says_so(archive: Archive) -> None:
    await archive.execute(
        sa.insert(configs).values(tool="separatePETMR", path="config", version=1, contents="separate")
    )
    content = [
        File("p", b"p", "1.5.1", "1.5", "1", sop_class=PET, modality="PT"),
        File("m", b"m", "1.6.1", "1.6", "2"),
        File("n", b"n", "1.7.1", "1.7", "3"),
    ]
    entry_id = await entry(archive, content)
    await receiving(archive, entry_id)
    done = await do(archive, entry_id, Build())
    assert done.outcome == "completed"
    halves = await archive.rows(sa.select(sessions).where(sessions.c.place == "prearchive"))
    mr, pet = sorted(halves, key=lambda row: str(row["label"]))
    assert [(row["label"], row["xsi_type"], row["status"]) for row in (pet, mr)] == [
        ("E1_PET", "xnat:petSessionData", "READY"),
        ("E1_MR", "xnat:mrSessionData", "READY"),
    ]
    assert (await session(archive, entry_id))["place"] == "deleted"
    assert await archive.files("E1_PET", "prearchive") == [("1", "DICOM", "p")]
    assert await archive.files("E1_MR", "prearchive") == [("2", "DICOM", "m"), ("3", "DICOM", "n")]
    assert await verbs(archive, entry_id) == ["received", "deleted"]


async def test_twenty_thousand_files_are_archived_by_rows_in_one_transaction(archive: Archive) -> None:
    """The archiver's commands have no store at all: no object can be copied."""
    for overwrite, target in ((Overwrite.NONE, None), (Overwrite.APPEND, "joined")):
        count = 20_000
        content = [File(f"{target}{n}.dcm", b"", f"1.9.{target}.{n}", f"1.{n % 20}", str(n % 20)) for n in range(count)]
        import_id = await archive.route(content, to_prearchive(), batch_size=20_000)
        await archive.pretend_staged(import_id)
        await archive.merge(import_id)
        entry_id = (await archive.landed(import_id)).sessions[0]
        command_id = await give(archive, entry_id, ArchiveCommand(overwrite=overwrite))
        started = time.monotonic()
        await run(archive, command_id)
        seconds = time.monotonic() - started
        print(f"20,000 files, target {target}: {seconds:.2f} s")
        assert (await ended(archive, command_id)).code == ""
        assert seconds < 30
    total = await archive.row(sa.text("select sum(file_count) as files from resources"))
    assert int(str(total["files"])) == 40_000


async def test_two_replicas_that_are_told_at_once_do_a_command_once(archive: Archive) -> None:
    entry_id = await entry(archive, some(50))
    command_id = await give(archive, entry_id, ArchiveCommand())
    await asyncio.gather(*(run(archive, command_id) for _ in range(4)))
    assert await verbs(archive, entry_id) == ["received", "archived"]


async def test_entries_and_an_import_that_meet_in_one_session_all_land(archive: Archive) -> None:
    await archive.land(some(1), to_archive())
    entries = [await entry(archive, some(20, mark=f"e{n}")) for n in range(3)]
    given = [await give(archive, one, ArchiveCommand(overwrite=Overwrite.APPEND)) for one in entries]
    open_import = await archive.route(some(20, mark="i"), to_archive(overwrite=Overwrite.APPEND))
    await archive.stage(open_import)
    await asyncio.gather(*(run(archive, one) for one in given), archive.merge(open_import))
    assert len(await archive.files()) == 81


async def test_files_that_were_replaced_twice_come_back_in_order(archive: Archive) -> None:
    target = (await archive.land(some(2), to_archive())).sessions[0]
    for body in (b"second", b"third"):
        await archive.land([File("0.dcm", body, "1.5.0")], to_archive(overwrite=Overwrite.DELETE))
    early = await do(archive, target, Restore(revision=2))
    assert (early.outcome, early.code) == ("rejected", "replaced-again")
    await do(archive, target, Restore(revision=3))
    assert (await archive.bodies())["1/0.dcm"] == b"second"
    await do(archive, target, Restore(revision=2))
    assert (await archive.bodies())["1/0.dcm"] == b"bytes 1.5 0"


async def test_what_is_the_sessions_own_joins_too(archive: Archive) -> None:
    """Files of a session's own resources, such as notes, meet those of the session that they join."""
    target = (await archive.land(some(1), to_archive())).sessions[0]
    entries = [await entry(archive, some(1, mark=f"e{n}")) for n in range(2)]
    for entry_id, sha in zip(entries, ("one", "two"), strict=True):
        await archive.execute(
            sa.text(
                "with own as (insert into resources (session_id, label, format)"
                " values (:id, 'NOTES', 'TEXT') returning id)"
                " insert into files (session_id, resource, name, object_key, size_bytes, md5, sha256)"
                " select :id, own.id, 'a/notes.txt', 'k' || :sha, 1, '', :sha from own"
            ).bindparams(id=entry_id, sha=sha)
        )
    append = ArchiveCommand(overwrite=Overwrite.APPEND)
    assert (await do(archive, entries[0], append)).outcome == "completed"
    clash = await do(archive, entries[1], append)
    assert clash.code.startswith("conflict-")
    assert (await do(archive, entries[1], ArchiveCommand(overwrite=Overwrite.DELETE))).outcome == "completed"
    own = await archive.row(
        sa.text(
            "select r.label, r.format, r.file_count, f.name, f.sha256"
            " from resources r join files f on f.resource = r.id"
            " where r.session_id = :id and r.scan is null"
        ).bindparams(id=target)
    )
    assert own == {"label": "NOTES", "format": "TEXT", "file_count": 1, "name": "a/notes.txt", "sha256": "two"}
    assert len(await archive.files()) == 3

"""The archiver over the real database: what lands lands whole, once, and is told."""

import asyncio
import time

import pytest
import sqlalchemy as sa

from libs.common.messages import ImportStaged, MembersRouted, Output, SessionChanged, SessionEvent, derive
from libs.common.requests import Area, Atomicity, Destination, Duplicates, ImportRequest, Overwrite
from libs.common.schema import (
    files,
    import_batches,
    import_members,
    imports,
    resources,
    scans,
    session_changes,
    sessions,
    subjects,
)
from services.archiver.sweep import tell_again
from tests.integration.routed import AT, Archive, Entry, File, has_finished, told_changes

ARCHIVED = "/archive/projects/P/subjects/S1/experiments/E1"


def to_archive(**request: object) -> ImportRequest:
    destination = Destination(area=Area.ARCHIVE, project="P")
    return ImportRequest.model_validate({"destination": destination, **request})


def to_prearchive(timestamp: str | None = None, folder: str | None = None, **request: object) -> ImportRequest:
    destination = Destination(area=Area.PREARCHIVE, project="P", timestamp=timestamp, folder=folder)
    return ImportRequest.model_validate({"destination": destination, **request})


def some(count: int, series: str = "1.5", number: str = "1", mark: str = "") -> list[File]:
    return [
        File(f"d/{mark}{n}.dcm", f"bytes {mark}{series} {n}".encode(), f"{series}.{mark}{n}", series, number)
        for n in range(count)
    ]


async def archive_rows(archive: Archive) -> list[list[dict[str, object]]]:
    """Everything that the archive is."""
    archived = sa.select(sessions.c.id).where(sessions.c.place == "archive")
    return [
        await archive.rows(sa.select(sessions).where(sessions.c.place == "archive").order_by("id")),
        await archive.rows(sa.select(scans).where(scans.c.session_id.in_(archived)).order_by("id")),
        await archive.rows(sa.select(resources).where(resources.c.session_id.in_(archived)).order_by("id")),
        await archive.rows(sa.select(files).where(files.c.session_id.in_(archived)).order_by("id")),
        await archive.rows(sa.select(subjects).order_by("id")),
    ]


async def test_a_new_session_lands_in_the_archive(archive: Archive) -> None:
    landed = await archive.land(
        [*some(3), *some(2, "1.6", "2")], to_archive(xml_paths={"xnat:mrSessionData/note": "n"})
    )
    assert (landed.outcome, landed.uris, landed.outcomes) == ("completed", [ARCHIVED], ["merged"])
    assert set(landed.verdicts) == {"stored"}
    assert [name for *_, name in await archive.files()] == ["0.dcm", "1.dcm", "2.dcm", "0.dcm", "1.dcm"]
    assert (await archive.bodies())["2/1.dcm"] == b"bytes 1.6 1"
    session = await archive.row(sa.select(sessions))
    assert {name: session[name] for name in ("place", "status", "label", "subject_label", "xsi_type", "revision")} == {
        "place": "archive",
        "status": "ARCHIVED",
        "label": "E1",
        "subject_label": "S1",
        "xsi_type": "xnat:mrSessionData",
        "revision": 1,
    }
    assert session["fields"] == {"xnat:mrSessionData/note": "n"}
    assert session["subject_id"] == "XNAT_S00001"
    first, _ = await archive.rows(sa.select(scans).order_by("scan_id"))
    assert (first["type"], first["quality"], first["modality"]) == ("series 1.5", "usable", "MR")
    counted = await archive.rows(sa.select(resources).order_by("id"))
    assert [(r["label"], r["content"], r["file_count"], r["size_bytes"], r["revision"]) for r in counted] == [
        ("DICOM", "RAW", 3, 33, 1),
        ("DICOM", "RAW", 2, 22, 1),
    ]


async def test_a_change_is_a_row_that_says_what_will_be_told(archive: Archive) -> None:
    first = await archive.land(some(3), to_archive())
    second = await archive.land(some(2, mark="x"), to_archive(overwrite=Overwrite.APPEND, trigger_pipelines=False))
    created, updated = await archive.rows(sa.select(session_changes).order_by("revision"))
    assert [(c["verb"], c["revision"], c["pipelines"], c["project"]) for c in (created, updated)] == [
        ("archived", 1, True, "P"),
        ("updated", 2, False, "P"),
    ]
    session_id = first.sessions[0]
    assert created["event_id"] == derive("session", session_id, 1)
    assert SessionEvent.model_validate(updated["event"]) == SessionEvent(
        session_id=session_id,
        import_id=second.id,
        revision=2,
        xsi_type="xnat:mrSessionData",
        scans=["1"],
        files_added=2,
        files_replaced=0,
        file_count=5,
        size_bytes=57,
        bucket="bucket",
        prefixes=[f"sessions/P/{session_id}/", f"sessions/P/{second.sessions[0]}/"],
        place="archive",
    )


async def test_the_same_upload_again_changes_nothing_and_stores_nothing(archive: Archive) -> None:
    await archive.land(some(3), to_archive())
    before = await archive_rows(archive)
    for overwrite in Overwrite:
        again = await archive.land(some(3), to_archive(overwrite=overwrite))
        assert (again.outcome, again.uris, again.outcomes) == ("completed", [ARCHIVED], ["unchanged"])
        assert set(again.verdicts) == {"identical"}
        assert [page async for page in archive.store.list(f"sessions/P/{again.sessions[0]}/")] == []
    assert await archive_rows(archive) == before
    assert len(await archive.rows(sa.select(session_changes))) == 1


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (to_archive(), "conflict-session-exists"),
        (to_archive(overwrite=Overwrite.APPEND), "conflict-matching-files"),
        (to_archive(overwrite=Overwrite.APPEND, duplicates=Duplicates.CONFLICT), "conflict-matching-files"),
    ],
)
async def test_a_conflict_leaves_the_archive_as_it_was(archive: Archive, request_: ImportRequest, code: str) -> None:
    await archive.land(some(3), to_archive())
    before = await archive_rows(archive)
    changed = [File("d/0.dcm", b"other", "1.5.0"), *some(4)[1:]]
    landed = await archive.land(changed, request_)
    assert (landed.outcome, landed.code, landed.outcomes) == ("rejected", code, ["conflict"])
    assert landed.verdicts[0] == "conflict"
    assert landed.verdicts[3] == "waiting"
    assert await archive_rows(archive) == before
    assert len(await archive.files("E1", "prearchive")) == 4
    waiting = await archive.row(sa.select(sessions).where(sessions.c.place == "prearchive"))
    assert (waiting["status"], waiting["id"]) == ("CONFLICT", landed.sessions[0])
    assert landed.uris == [f"/prearchive/projects/P/{waiting['timestamp']}/{waiting['folder']}"]
    assert (await archive.bodies("E1", "prearchive"))["1/0.dcm"] == b"other"
    (change,) = await archive.rows(sa.select(session_changes).where(session_changes.c.session_id == waiting["id"]))
    assert (change["verb"], change["pipelines"]) == ("conflict", False)


async def test_append_adds_and_delete_replaces(archive: Archive) -> None:
    await archive.land(some(2), to_archive())
    added = await archive.land(some(3), to_archive(overwrite=Overwrite.APPEND))
    assert added.verdicts == ["identical", "identical", "stored"]
    replaced = await archive.land([File("new.dcm", b"other", "1.5.0")], to_archive(overwrite=Overwrite.DELETE))
    assert replaced.verdicts == ["replaced"]
    assert sorted(await archive.bodies()) == ["1/1.dcm", "1/2.dcm", "1/new.dcm"]
    assert (await archive.bodies())["1/new.dcm"] == b"other"
    (resource,) = await archive.rows(sa.select(resources))
    assert (resource["file_count"], resource["size_bytes"], resource["revision"]) == (3, 27, 3)
    merged = await archive.rows(sa.select(sessions).where(sessions.c.place == "merged").order_by("id"))
    assert {row["merged_into"] for row in merged} == {(await archive.row(_archived()))["id"]}


def _archived() -> sa.Select[tuple[object, ...]]:
    return sa.select(sessions).where(sessions.c.place == "archive")


async def test_one_number_of_two_series_gives_two_scans(archive: Archive) -> None:
    """A20: D1 to D4."""
    delete = to_archive(overwrite=Overwrite.DELETE)
    await archive.land([File("1.dcm", b"1", "u1", "1.5")], delete)
    await archive.land([File("2.dcm", b"2", "u2", "1.6")], delete)
    await archive.land([File("3.dcm", b"3", "u3", "1.6")], delete)
    await archive.land([File("4.dcm", b"4", "u4", "1.5"), File("5.dcm", b"5", "u5", "1.5")], delete)
    counts = sa.select(scans.c.scan_id, resources.c.file_count).join(resources, resources.c.scan == scans.c.id)
    assert await archive.rows(counts.order_by(scans.c.scan_id)) == [
        {"scan_id": "1", "file_count": 3},
        {"scan_id": "1-MR1", "file_count": 2},
    ]


async def test_a_named_prearchive_entry_is_made_then_joined(archive: Archive) -> None:
    """A08: study UIDs are not compared."""
    named = to_prearchive("20240101_000000000", "E", overwrite=Overwrite.APPEND)
    first = await archive.land(some(2), named)
    other_study = [File(f"{n}.dcm", f"z{n}".encode(), f"9.{n}", "1.6", "2", study="1.3") for n in range(2)]
    second = await archive.land(other_study, named)
    uri = "/prearchive/projects/P/20240101_000000000/E"
    assert first.uris == second.uris == [uri]
    assert [scan for scan, *_ in await archive.files("E1", "prearchive")] == ["1", "1", "2", "2"]
    refused = await archive.land(some(1, "1.7", "3"), to_prearchive("20240101_000000000", "E"))
    assert (refused.outcome, refused.code) == ("rejected", "conflict-session-exists")
    assert refused.uris != [uri]
    assert [c["verb"] for c in await archive.rows(sa.select(session_changes).order_by("changed_at"))] == [
        "received",
        "received",
        "conflict",
    ]


async def test_a_named_timestamp_gets_a_free_folder(archive: Archive) -> None:
    one = await archive.land(some(1), to_prearchive("T"))
    await archive.execute(sa.update(sessions).values(folder="PAT01"))
    other_id = await archive.route(some(1), to_prearchive("T"))
    await archive.execute(sa.update(sessions).where(sessions.c.place == "opening").values(folder="PAT01"))
    await archive.stage(other_id)
    await archive.merge(other_id)
    other = await archive.landed(other_id)
    assert one.uris[0].startswith("/prearchive/projects/P/T/")
    assert other.uris == ["/prearchive/projects/P/T/PAT01_1"]


@pytest.mark.parametrize("overwrite", [Overwrite.NONE, Overwrite.APPEND])
async def test_two_imports_that_make_one_session_at_once(archive: Archive, overwrite: Overwrite) -> None:
    request = to_archive(overwrite=overwrite)
    uploads = [some(20, mark=f"{n}-") for n in range(4)]
    ids = [await archive.route(upload, request) for upload in uploads]
    for import_id in ids:
        await archive.stage(import_id)
    await asyncio.gather(*(archive.merge(import_id) for import_id in ids))
    landed = [await archive.landed(import_id) for import_id in ids]
    outcomes = sorted(one.outcomes[0] for one in landed)
    if overwrite is Overwrite.NONE:
        assert outcomes == ["conflict", "conflict", "conflict", "merged"]
        assert len(await archive.files()) == 20
    else:
        assert outcomes == ["merged"] * 4
        assert len(await archive.files()) == 80
        revisions = await archive.rows(sa.select(session_changes.c.revision).order_by("revision"))
        assert [row["revision"] for row in revisions] == [1, 2, 3, 4]
    assert len(await archive.rows(sa.select(subjects))) == 1


async def test_a_second_delivery_changes_nothing_and_tells_the_same(archive: Archive) -> None:
    import_id = await archive.route([*some(3), File("9.dcm", b"9", "9.9", study="1.3")], to_archive(), _two_sessions())
    assert await archive.stage(import_id) == [ImportStaged(import_id=import_id)]
    assert await archive.stage(import_id) == [ImportStaged(import_id=import_id)]
    told = await archive.merge(import_id)
    before = await archive_rows(archive)
    assert await archive.merge(import_id) == told
    assert len(told_changes(told)) == 2
    assert not has_finished(told)
    assert await archive_rows(archive) == before
    await archive.execute(sa.update(session_changes).values(catalogued_at=AT))
    assert has_finished(await archive.merge(import_id))
    assert has_finished(await archive.merge(import_id))
    assert (await archive.landed(import_id)).outcome == "completed"


def _two_sessions() -> dict[str, Entry]:
    return {"1.2": Entry(), "1.3": Entry(label="E2")}


async def test_one_import_merged_twice_at_once_lands_once(archive: Archive) -> None:
    import_id = await archive.route(some(50), to_archive())
    await archive.stage(import_id)
    told = await asyncio.gather(*(archive.merge(import_id) for _ in range(3)))
    assert len({tuple(told_changes(one)) for one in told}) == 1
    assert len(await archive.files()) == 50
    assert len(await archive.rows(sa.select(session_changes))) == 1


async def test_the_order_of_batches_does_not_matter(archive: Archive) -> None:
    upload = [*some(3), *some(3, "1.6", "1"), File("d/0.dcm", b"same name", "7.7")]
    import_id = await archive.route(upload, to_archive(), batch_size=2)
    told = []
    for batch_id in reversed(await archive.batches(import_id)):
        told.append(await archive.stage_batch(import_id, batch_id))
    assert [bool(one) for one in told] == [False, False, False, True]
    await archive.merge(import_id)
    assert await archive.files() == [
        ("1-MR1", "DICOM", "0.dcm"),
        ("1-MR1", "DICOM", "0.dcm_1"),
        ("1-MR1", "DICOM", "1.dcm"),
        ("1-MR1", "DICOM", "2.dcm"),
        ("1-MR2", "DICOM", "0.dcm"),
        ("1-MR2", "DICOM", "1.dcm"),
        ("1-MR2", "DICOM", "2.dcm"),
    ]


async def test_sessions_land_each_by_itself(archive: Archive) -> None:
    await archive.land([File("9.dcm", b"9", "9.9", study="1.3")], to_archive(), entries=_two_sessions())
    upload = [File("8.dcm", b"8", "8.8", study="1.3"), *some(2)]
    landed = await archive.land(upload, to_archive(), entries=_two_sessions())
    assert (landed.outcome, landed.outcomes) == ("completed", ["conflict", "merged"])
    assert landed.uris[1] == ARCHIVED


async def test_with_strict_all_sessions_land_or_none(archive: Archive) -> None:
    strict = to_archive(atomicity=Atomicity.IMPORT)
    await archive.land([File("9.dcm", b"9", "9.9", study="1.3")], to_archive(), entries=_two_sessions())
    before = await archive_rows(archive)
    upload = [*some(2), File("8.dcm", b"8", "8.8", study="1.3")]
    refused = await archive.land(upload, strict, entries=_two_sessions())
    assert (refused.outcome, refused.code) == ("rejected", "conflict-session-exists")
    assert refused.outcomes == ["conflict", "conflict"]
    assert all(uri.startswith("/prearchive/projects/P/") for uri in refused.uris)
    assert set(refused.verdicts) == {"waiting"}
    assert await archive_rows(archive) == before
    upload = [*some(2), File("7.dcm", b"7", "7.7", study="1.4")]
    landed = await archive.land(upload, strict, entries={"1.4": Entry(label="E4")})
    assert landed.outcomes == ["merged", "merged"]


async def test_the_subject_is_found_by_label_without_case_or_by_id(archive: Archive) -> None:
    await archive.land(some(1), to_archive())
    for number, named in enumerate(("s1", "XNAT_S00001")):
        study = f"1.2.{number}"
        destination = Destination(area=Area.ARCHIVE, project="P", subject=named, session=f"N{number}")
        upload = [File("1.dcm", study.encode(), study, f"{study}.5", study=study)]
        landed = await archive.land(upload, ImportRequest(destination=destination))
        assert landed.uris == [f"/archive/projects/P/subjects/S1/experiments/N{number}"]
    assert len(await archive.rows(sa.select(subjects))) == 1


async def test_a_session_is_found_by_its_id_and_brings_its_labels(archive: Archive) -> None:
    first = await archive.land(some(1), to_archive())
    destination = Destination(area=Area.ARCHIVE, project="P", session=first.sessions[0])
    landed = await archive.land(
        some(2), ImportRequest(destination=destination, overwrite=Overwrite.APPEND), entries={"1.2": Entry(subject="X")}
    )
    assert (landed.uris, landed.verdicts) == ([ARCHIVED], ["identical", "stored"])


@pytest.mark.parametrize(("entry", "code"), [(Entry(project=None), "no-project"), (Entry(subject=""), "no-subject")])
async def test_what_has_no_place_in_the_archive_waits_as_an_error(archive: Archive, entry: Entry, code: str) -> None:
    landed = await archive.land(some(2), to_archive(), entries={"1.2": entry})
    assert (landed.outcome, landed.code, landed.outcomes) == ("rejected", code, ["error"])
    row = await archive.row(sa.select(sessions))
    assert (row["place"], row["status"]) == ("prearchive", "ERROR")
    assert len(await archive.files("E1", "prearchive")) == 2
    change = await archive.row(sa.select(session_changes))
    assert (change["verb"], change["project"]) == ("conflict", entry.project or "Unassigned")


async def test_the_project_archives_overwrites_and_quarantines(archive: Archive) -> None:
    await archive.project("A", prearchive_code=5, quarantine_code=1)
    entries = {"1.2": Entry(project="A")}
    await archive.land(some(2), entries=entries)
    landed = await archive.land([File("d/0.dcm", b"other", "1.5.0")], entries=entries)
    assert landed.verdicts == ["replaced"]
    session = await archive.row(_archived())
    assert (session["quarantined"], session["revision"]) == (True, 2)


async def test_a_session_of_damaged_members_alone_is_dropped(archive: Archive) -> None:
    import_id = await archive.route(some(2), to_archive())
    await archive.execute(sa.update(import_members).values(crc32=1).where(import_members.c.import_id == import_id))
    await archive.stage(import_id)
    assert has_finished(await archive.merge(import_id))
    landed = await archive.landed(import_id)
    assert (landed.outcome, landed.code, landed.verdicts) == ("rejected", "damaged", ["skipped", "skipped"])
    assert (await archive.row(sa.select(sessions)))["place"] == "deleted"


async def test_bytes_that_a_session_has_lost_meanwhile_are_stored_after_all(archive: Archive) -> None:
    await archive.land(some(3), to_archive())
    import_id = await archive.route(some(3), to_archive(overwrite=Overwrite.APPEND))
    await archive.stage(import_id)
    await archive.execute(sa.delete(files).where(files.c.name == "1.dcm"))
    (batch_id,) = await archive.batches(import_id)
    assert await archive.merge(import_id) == [MembersRouted(import_id=import_id, batch_id=batch_id)]
    assert await archive.stage(import_id) == [ImportStaged(import_id=import_id)]
    await archive.merge(import_id)
    assert (await archive.landed(import_id)).verdicts == ["identical", "stored", "identical"]
    assert (await archive.bodies())["1/1.dcm"] == b"bytes 1.5 1"


async def test_an_ended_import_is_left_alone(archive: Archive) -> None:
    import_id = await archive.route(some(1), to_archive())
    await archive.stage(import_id)
    await archive.execute(sa.update(imports).values(outcome="failed"))
    assert has_finished(await archive.merge(import_id))
    assert (await archive.row(sa.select(sessions)))["place"] == "opening"


async def test_an_import_without_sessions_ends(archive: Archive) -> None:
    import_id = await archive.route(some(1), to_archive())
    await archive.execute(sa.text("delete from import_sessions"))
    await archive.execute(sa.update(import_members).values(verdict="skipped"))
    await archive.stage(import_id)
    assert has_finished(await archive.merge(import_id))
    assert (await archive.landed(import_id)).code == "no-dicom"


async def test_the_sweep_tells_what_nobody_has_answered(archive: Archive) -> None:
    silent, merged = await archive.route(some(1), to_archive()), await archive.route(some(1, mark="x"))
    await archive.stage(silent)
    await archive.stage(merged)
    await archive.merge(merged)
    told: list[Output] = []

    async def tell(*outputs: Output) -> None:
        told.extend(outputs)

    await tell_again(archive.engine, tell)
    assert told == []
    await archive.execute(sa.update(session_changes).values(changed_at=AT))
    await archive.execute(sa.update(imports).values(staged_at=AT))
    await tell_again(archive.engine, tell)
    change = await archive.row(sa.select(session_changes))
    assert told == [
        SessionChanged(import_id=merged, session_id=str(change["session_id"]), revision=1),
        ImportStaged(import_id=silent),
    ]


async def test_twenty_thousand_files_merge_in_about_a_second(archive: Archive) -> None:
    upload = [
        File(f"d/{n % 20}/{n}.dcm", b"", f"1.9.{n}", series=f"1.5.{n % 20}", number=str(n % 20)) for n in range(20_000)
    ]
    for overwrite, outcome in ((Overwrite.NONE, "merged"), (Overwrite.NONE, "conflict"), (Overwrite.DELETE, "merged")):
        mark = await archive.rows(sa.select(sa.func.count()).select_from(import_batches))
        import_id = await archive.route(upload, to_archive(overwrite=overwrite))
        await archive.pretend_staged(import_id)
        await archive.execute(
            sa.text("update import_members set sha256 = sha256 || :mark where import_id = :import_id").bindparams(
                mark=str(mark), import_id=import_id
            )
        )
        started = time.monotonic()
        await archive.merge(import_id)
        seconds = time.monotonic() - started
        print(f"{outcome}: 20,000 files in {seconds:.2f} s")
        assert (await archive.landed(import_id)).outcomes == [outcome]
        assert seconds < 10

"""What joins a session, and what conflicts: §7.3 to §7.5 and architecture §6 as tables."""

from dataclasses import replace

import pytest

from libs.common.facts import Verdict
from libs.common.requests import Area, Duplicates, Overwrite
from services.archiver.aims import NO_PROJECT
from services.archiver.cases import Aim, Case, Outcome, Place, Session, Status, StoredScan, Subject
from services.archiver.merge import decide, hold
from tests.unit.services.archiver.situations import (
    CT,
    ENHANCED_MR,
    MR,
    RT_STRUCT,
    Sent,
    archive_case,
    archived,
    prearchive_case,
    series,
    session,
    waiting,
)

NONE, APPEND, DELETE = Overwrite.NONE, Overwrite.APPEND, Overwrite.DELETE
ONE, TWO, THREE = Sent("1.dcm", "u1", "a"), Sent("2.dcm", "u2", "b"), Sent("3.dcm", "u3", "c")
OTHER_ONE = Sent("1.dcm", "u1", "x")


def answer(case: Case) -> tuple[Outcome, str]:
    decision = decide(case)
    assert decision.findings.keys() == {file.ordinal for file in case.files}
    return decision.outcome, decision.problem.code if decision.problem else ""


def verdicts(case: Case) -> list[Verdict]:
    findings = decide(case).findings
    return [findings[ordinal].verdict for ordinal in sorted(findings)]


# What is there, without a session that it joins


def test_a_new_session_is_archived_with_all_it_has() -> None:
    decision = decide(archive_case(ONE, TWO))
    assert (decision.outcome, decision.place, decision.status) == (Outcome.MERGED, Place.ARCHIVE, Status.ARCHIVED)
    assert [(one.scan_id, one.name) for one in decision.contents.files] == [("1", "1.dcm"), ("1", "2.dcm")]
    assert (decision.joins, decision.xsi_type) == (None, "xnat:mrSessionData")


def test_a_prearchive_entry_is_ready() -> None:
    decision = decide(prearchive_case(ONE, OTHER_ONE))
    assert (decision.outcome, decision.place, decision.status) == (Outcome.MERGED, Place.PREARCHIVE, Status.READY)
    assert [one.name for one in decision.contents.files] == ["1.dcm", "1.dcm_1"]


def test_session_and_scans_have_the_values_that_all_files_agree_on() -> None:
    one = replace(series("1.5", "1"), attributes={"SeriesNumber": "1", "Manufacturer": "M", "StudyDate": "20240101"})
    two = replace(series("1.6", "2"), attributes={"SeriesNumber": "2", "Manufacturer": "M"})
    decision = decide(archive_case(ONE, Sent("9.dcm", "u9", "z", series="1.6"), series=(one, two)))
    assert decision.attributes == {"SeriesNumber": None, "Manufacturer": "M", "StudyDate": "20240101"}
    assert [scan.attributes["SeriesNumber"] for scan in decision.contents.scans] == ["1", "2"]


def test_types_come_from_the_whole_set() -> None:
    decision = decide(
        archive_case(
            Sent("1.dcm", "u1", "a", series="1.6", sop_class=RT_STRUCT, resource="secondary"),
            Sent("2.dcm", "u2", "b", sop_class=ENHANCED_MR),
        )
    )
    assert decision.xsi_type == "xnat:mrSessionData"
    assert {scan.xsi_type for scan in decision.contents.scans} == {"xnat:rtImageScanData", "xnat:mrScanData"}


def test_a_session_without_a_file_is_dropped() -> None:
    decision = decide(archive_case())
    assert (decision.outcome, decision.place) == (Outcome.ERROR, Place.DELETED)


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (archive_case(ONE, aim=Aim(Area.ARCHIVE, label="L1"), subject=None), "no-subject"),
        (archive_case(ONE, aim=Aim(Area.PREARCHIVE, problem=NO_PROJECT)), "no-project"),
        (archive_case(ONE, OTHER_ONE), "duplicate-instances"),
        (archive_case(ONE, OTHER_ONE, overwrite=APPEND), "duplicate-instances"),
        (archive_case(ONE, Sent("2.dcm", "u1", "x", sop_class=ENHANCED_MR)), "duplicate-instances"),
    ],
)
def test_what_cannot_be_archived_waits_as_an_error_with_all_its_files(case: Case, code: str) -> None:
    decision = decide(case)
    assert (decision.outcome, decision.place, decision.status) == (Outcome.ERROR, Place.PREARCHIVE, Status.ERROR)
    assert decision.problem is not None
    assert decision.problem.code == code
    assert len(decision.contents.files) == len(case.files)
    assert set(verdicts(case)) == {Verdict.WAITING}


def test_the_scan_with_doubled_instances_is_named() -> None:
    problem = decide(archive_case(ONE, OTHER_ONE)).problem
    assert problem is not None
    assert problem.detail.startswith("Scan 1 DICOM catalog contains duplicated SOP instance UIDs: ")


def test_with_delete_two_objects_of_one_uid_are_both_archived() -> None:
    """A28."""
    decision = decide(archive_case(ONE, Sent("2.dcm", "u1", "x", sop_class=ENHANCED_MR), overwrite=DELETE))
    assert (decision.place, len(decision.contents.files)) == (Place.ARCHIVE, 2)


def test_two_objects_of_one_uid_in_two_resources_are_archived() -> None:
    """A29."""
    decision = decide(archive_case(ONE, Sent("2.dcm", "u1", "x", sop_class=RT_STRUCT, resource="secondary")))
    assert decision.place is Place.ARCHIVE
    assert sorted(one.file.resource_label for one in decision.contents.files) == ["DICOM", "secondary"]


def test_a_copy_within_the_upload_is_identical() -> None:
    assert verdicts(archive_case(ONE, Sent("copy.dcm", "u1", "a"))) == [Verdict.STORED, Verdict.IDENTICAL]


# §7.3: the session is there

PET_SESSION = archived(xsi_type="xnat:petSessionData", scans=())
OTHER_STUDY = session(study_instance_uid="1.3")
OTHER_SUBJECT = Subject("S_2", "S2")


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (archive_case(TWO, target=archived(ONE)), "conflict-session-exists"),
        (archive_case(ONE, TWO, target=archived(ONE)), "conflict-session-exists"),
        (archive_case(OTHER_ONE, target=archived(ONE)), "conflict-session-exists"),
        (archive_case(ONE, target=PET_SESSION), "conflict-session-exists"),  # A03
        (archive_case(ONE, target=PET_SESSION, overwrite=APPEND), "conflict-modality-differs"),
        (archive_case(ONE, target=PET_SESSION, overwrite=DELETE), "conflict-modality-differs"),
        (archive_case(TWO, target=archived(ONE), overwrite=APPEND, subject=OTHER_SUBJECT), "conflict-subject-differs"),
        (archive_case(TWO, target=archived(ONE), overwrite=DELETE, subject=OTHER_SUBJECT), "conflict-subject-differs"),
        (archive_case(TWO, target=archived(ONE), overwrite=APPEND, subject=None), "conflict-subject-differs"),
        (archive_case(TWO, target=archived(ONE), overwrite=APPEND, entry=OTHER_STUDY), "conflict-study-uid-differs"),
        (archive_case(TWO, target=archived(ONE), overwrite=DELETE, entry=OTHER_STUDY), ""),
        (archive_case(TWO, target=archived(ONE, study_instance_uid=""), overwrite=APPEND, entry=OTHER_STUDY), ""),
        (archive_case(TWO, target=archived(ONE, xsi_type=""), overwrite=APPEND), ""),
        (archive_case(TWO, target=archived(ONE, scan_id="7"), overwrite=APPEND), "conflict-scan-uid-differs"),
        (archive_case(TWO, target=archived(ONE, scan_id="7"), overwrite=DELETE), ""),
        (archive_case(TWO, target=archived(ONE, scan_id="1-MR2"), overwrite=APPEND), ""),
        (archive_case(TWO, target=archived(ONE), overwrite=APPEND), ""),
        (
            archive_case(TWO, THREE, Sent("x.dcm", "u3", "y"), target=archived(ONE), overwrite=APPEND),
            "duplicate-instances",
        ),
        (archive_case(TWO, THREE, Sent("x.dcm", "u3", "y"), target=archived(ONE), overwrite=DELETE), ""),
    ],
)
def test_an_archived_session_is_joined_only_if_nothing_speaks_against_it(case: Case, code: str) -> None:
    decision = decide(case)
    assert (decision.problem.code if decision.problem else "") == code
    if code:
        assert decision.joins is None
        assert decision.place is Place.PREARCHIVE
        assert len(decision.contents.files) == len(case.files)
    else:
        assert decision.outcome is Outcome.MERGED
        assert decision.joins == case.target


def test_checks_speak_in_xnats_order() -> None:
    target = replace(PET_SESSION, study_instance_uid="1.9")
    case = archive_case(ONE, OTHER_ONE, target=target, subject=OTHER_SUBJECT)
    order = []
    for overwrite, fixed in (
        (NONE, {}),
        (APPEND, {}),
        (APPEND, {"xsi_type": "xnat:mrSessionData"}),
        (APPEND, {"xsi_type": "xnat:mrSessionData", "subject_id": "S_2"}),
        (APPEND, {"xsi_type": "xnat:mrSessionData", "subject_id": "S_2", "study_instance_uid": "1.2"}),
    ):
        changed = replace(case, target=replace(target, **fixed), policy=replace(case.policy, overwrite=overwrite))
        order.append(answer(changed)[1])
    assert order == [
        "conflict-session-exists",
        "conflict-modality-differs",
        "conflict-subject-differs",
        "conflict-study-uid-differs",
        "duplicate-instances",
    ]


@pytest.mark.parametrize(
    ("case", "text", "way_out"),
    [
        (archive_case(TWO, target=archived(ONE)), "Session already exists, retry with overwrite enabled", "overwrite"),
        (
            archive_case(TWO, target=PET_SESSION, overwrite=APPEND),
            "Invalid modification of session modality via archive process.  Data may require a manual merge.",
            "session or dest",
        ),
        (
            archive_case(TWO, target=archived(ONE), overwrite=APPEND, subject=OTHER_SUBJECT),
            "Invalid modification of session subject via archive process.: Session Already Exists for another Subject",
            "session or dest",
        ),
        (
            archive_case(TWO, target=archived(ONE), overwrite=APPEND, entry=OTHER_STUDY),
            "Invalid modification of session UID via archive process.",
            "overwrite=delete",
        ),
        (
            archive_case(TWO, target=archived(ONE, scan_id="7"), overwrite=APPEND),
            "Session already contains a scan with the same UID, but a different number (7).",
            "overwrite=delete",
        ),
        (
            archive_case(OTHER_ONE, target=archived(ONE), overwrite=APPEND),
            "Session already exists with matching files.",
            "duplicates=keep",
        ),
        (
            archive_case(ONE, OTHER_ONE),
            "Scan 1 DICOM catalog contains duplicated SOP instance UIDs",
            "overwrite=delete",
        ),
        (
            archive_case(ONE, aim=Aim(Area.ARCHIVE, label="L1"), subject=None),
            "Unable to identify subject",
            "dest=/archive/projects/{P}/subjects/{S}",
        ),
    ],
)
def test_the_texts_are_xnats_and_name_a_way_out(case: Case, text: str, way_out: str) -> None:
    problem = decide(case).problem
    assert problem is not None
    assert problem.detail.startswith(text)
    assert way_out in problem.detail


@pytest.mark.parametrize(
    ("named_session", "named_subject", "subject", "code"),
    [
        ("L1", False, OTHER_SUBJECT, ""),  # §2: the session's subject is adopted
        ("E1", False, OTHER_SUBJECT, ""),
        ("E1", False, None, ""),
        ("L1", True, OTHER_SUBJECT, "conflict-subject-differs"),
        ("L1", True, Subject("S_1", "S1"), ""),
        (None, False, OTHER_SUBJECT, "conflict-subject-differs"),
    ],
)
def test_a_session_that_is_named_brings_its_subject(
    named_session: str | None, named_subject: bool, subject: Subject | None, code: str
) -> None:
    aim = Aim(Area.ARCHIVE, session=named_session, label="L1", subject="S2", subject_is_named=named_subject)
    case = archive_case(TWO, target=archived(ONE), overwrite=APPEND, aim=aim, subject=subject)
    assert answer(case)[1] == code


# The same again


@pytest.mark.parametrize("overwrite", list(Overwrite))
@pytest.mark.parametrize("duplicates", [Duplicates.IDENTICAL, Duplicates.KEEP])
@pytest.mark.parametrize("sent", [(ONE, TWO), (TWO,), (Sent("other.dcm", "u1", "a"),), (ONE, Sent("c.dcm", "u1", "a"))])
def test_the_same_bytes_again_change_nothing(
    overwrite: Overwrite, duplicates: Duplicates, sent: tuple[Sent, ...]
) -> None:
    decision = decide(archive_case(*sent, target=archived(ONE, TWO), overwrite=overwrite, duplicates=duplicates))
    assert (decision.outcome, decision.place, decision.problem) == (Outcome.UNCHANGED, Place.MERGED, None)
    assert {finding.verdict for finding in decision.findings.values()} == {Verdict.IDENTICAL}
    assert not decision.contents.files


def test_the_same_bytes_for_another_subject_are_a_conflict() -> None:
    case = archive_case(ONE, target=archived(ONE), overwrite=APPEND, subject=OTHER_SUBJECT)
    assert answer(case) == (Outcome.CONFLICT, "conflict-subject-differs")


@pytest.mark.parametrize(
    ("overwrite", "overwrite_files", "expected"),
    [
        (NONE, False, (Outcome.CONFLICT, "conflict-session-exists")),  # A04
        (APPEND, False, (Outcome.CONFLICT, "conflict-matching-files")),  # A05
        (APPEND, True, (Outcome.UNCHANGED, "")),  # A06
        (DELETE, False, (Outcome.UNCHANGED, "")),
    ],
)
def test_with_xnats_answer_the_same_upload_again_is_a_conflict(
    overwrite: Overwrite, overwrite_files: bool, expected: tuple[Outcome, str]
) -> None:
    case = archive_case(
        ONE,
        TWO,
        target=archived(ONE, TWO),
        overwrite=overwrite,
        duplicates=Duplicates.CONFLICT,
        overwrite_files=overwrite_files,
    )
    assert answer(case) == expected


@pytest.mark.parametrize(
    ("case", "expected", "code"),
    [
        (archive_case(ONE, TWO, target=archived(ONE), overwrite=APPEND), ["identical", "stored"], ""),
        (archive_case(OTHER_ONE, TWO, target=archived(ONE), overwrite=DELETE), ["replaced", "stored"], ""),
        (
            archive_case(OTHER_ONE, TWO, target=archived(ONE), overwrite=APPEND, overwrite_files=True),
            ["replaced", "stored"],
            "",
        ),
        (
            archive_case(OTHER_ONE, TWO, target=archived(ONE), overwrite=APPEND, duplicates=Duplicates.KEEP),
            ["kept", "stored"],
            "",
        ),
        (
            archive_case(OTHER_ONE, TWO, target=archived(ONE), overwrite=APPEND),
            ["conflict", "waiting"],
            "conflict-matching-files",
        ),
        (
            archive_case(Sent("1.dcm", "u9", "z"), TWO, target=archived(ONE), overwrite=DELETE),
            ["conflict", "waiting"],
            "conflict-name-taken",
        ),
        (archive_case(OTHER_ONE, TWO, target=archived(ONE)), ["conflict", "waiting"], "conflict-session-exists"),
    ],
)
def test_each_file_has_its_verdict(case: Case, expected: list[str], code: str) -> None:
    assert [str(verdict) for verdict in verdicts(case)] == expected
    assert answer(case)[1] == code


def test_a_second_series_is_a_second_scan() -> None:
    """A07."""
    case = archive_case(
        Sent("1.dcm", "u9", "z", series="1.6"),
        target=archived(ONE),
        overwrite=APPEND,
        series=(series("1.6", "2"),),
    )
    assert [scan.scan_id for scan in decide(case).contents.scans] == ["2"]


def test_one_number_of_two_series_gives_two_scans() -> None:
    """A20: D1 to D4."""
    there = archived(ONE)
    first = archive_case(Sent("2.dcm", "u2", "b", series="1.6"), target=there, overwrite=DELETE)
    (planned,) = decide(first).contents.files
    assert planned.scan_id == "1-MR1"
    renamed = StoredScan(2, "1-MR1", "1.6", "xnat:mrScanData", frozenset({"MR"}), frozenset({MR}), {})
    there = replace(there, scans=(*there.scans, renamed))
    second = archive_case(
        Sent("3.dcm", "u3", "c", series="1.6"), Sent("4.dcm", "u4", "d"), target=there, overwrite=DELETE
    )
    assert [(one.name, one.scan_id) for one in decide(second).contents.files] == [("3.dcm", "1-MR1"), ("4.dcm", "1")]


def test_in_the_archive_what_is_there_keeps_its_type_and_values() -> None:
    there = archived(ONE, attributes={"Manufacturer": "M", "StudyDate": None})
    there = replace(there, scans=(replace(there.scans[0], attributes={"SeriesDescription": "old"}),))
    said = {"SeriesNumber": "1", "SeriesDescription": "new", "Manufacturer": "N", "StudyDate": "1", "Rows": "2"}
    new = replace(series(), attributes=said)
    decision = decide(archive_case(TWO, target=there, overwrite=APPEND, series=(new,)))
    assert decision.joins is not None
    assert decision.attributes == said | {"Manufacturer": "M", "StudyDate": None}
    (scan,) = decision.contents.scans
    assert (scan.row, scan.attributes["SeriesDescription"], scan.attributes["Rows"]) == (1, "old", "2")


# The prearchive entry that `dest` names


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (prearchive_case(TWO, target=waiting(ONE)), (Outcome.CONFLICT, "conflict-session-exists")),
        (prearchive_case(ONE, target=waiting(ONE)), (Outcome.UNCHANGED, "")),
        (prearchive_case(TWO, target=waiting(ONE), overwrite=APPEND), (Outcome.MERGED, "")),
        (prearchive_case(TWO, target=waiting(ONE), overwrite=DELETE), (Outcome.MERGED, "")),
        (prearchive_case(TWO, target=waiting(ONE), overwrite=APPEND, entry=OTHER_STUDY), (Outcome.MERGED, "")),  # A08
        (
            prearchive_case(OTHER_ONE, target=waiting(ONE), overwrite=DELETE),
            (Outcome.CONFLICT, "conflict-matching-files"),
        ),
        (
            prearchive_case(Sent("1.dcm", "u2", "y"), target=waiting(ONE), overwrite=APPEND),
            (Outcome.CONFLICT, "conflict-matching-files"),
        ),
        (
            prearchive_case(Sent("9.dcm", "u1", "y"), target=waiting(ONE), overwrite=APPEND),
            (Outcome.CONFLICT, "conflict-same-resources"),
        ),
        (
            prearchive_case(Sent("9.dcm", "u1", "y", sop_class=ENHANCED_MR), target=waiting(ONE), overwrite=APPEND),
            (Outcome.MERGED, ""),
        ),
    ],
)
def test_a_prearchive_entry_is_joined_with_any_overwrite_and_nothing_is_replaced(
    case: Case, expected: tuple[Outcome, str]
) -> None:
    assert answer(case) == expected


def test_a_joined_prearchive_entry_is_described_anew() -> None:
    there = waiting(ONE, attributes={"Manufacturer": "M", "Rows": "1"})
    new = replace(series("1.6", "2", CT, "CT"), attributes={"Manufacturer": "N", "Rows": "1"})
    sent = Sent("2.dcm", "u2", "b", series="1.6", sop_class=CT)
    decision = decide(prearchive_case(sent, target=there, overwrite=APPEND, series=(new,)))
    assert decision.attributes == {"Manufacturer": None, "Rows": "1"}
    assert (decision.xsi_type, decision.status) == ("xnat:mrSessionData", Status.READY)
    alone = decide(prearchive_case(sent, target=replace(there, scans=(), files=()), overwrite=APPEND, series=(new,)))
    assert alone.xsi_type == "xnat:ctSessionData"


# All or nothing


@pytest.mark.parametrize("target", [None, archived(ONE), archived(TWO)])
def test_a_session_can_be_held_back_for_another(target: Session | None) -> None:
    problem = decide(archive_case(TWO, target=archived(ONE))).problem
    assert problem is not None
    decision = hold(archive_case(ONE, target=target, overwrite=APPEND), problem)
    assert (decision.outcome, decision.place, decision.joins) == (Outcome.CONFLICT, Place.PREARCHIVE, None)
    assert decision.findings[0].verdict is Verdict.WAITING
    assert len(decision.contents.files) == 1

"""Scans that an importer states: ECAT files without UIDs or numbers, scans of documents."""

from dataclasses import replace

import pytest

from libs.common.facts import Verdict
from libs.common.requests import Duplicates, Overwrite
from libs.common.stated import SESSION_KEY, StatedScan, derived_key, uid_of
from services.archiver.cases import Outcome, Series, StoredScan
from services.archiver.files import CLASHES, Clash
from services.archiver.merge import decide
from services.archiver.numbering import assign
from services.archiver.stated_scans import session_attributes
from tests.unit.services.archiver.situations import Sent, after, archive_case, series

PET_KEY = derived_key("ecat", "pet.v")


def ecat(name, ordinal=0, first=1):
    stated = StatedScan(first_number=first, ordinal=ordinal)
    return Series(derived_key("ecat", name), frozenset({"PT"}), frozenset(), {}, stated)


def described(scan_id, uid="", **facts):
    key = uid or derived_key("xar", "scan", scan_id)
    return Series(key, frozenset(), frozenset(), {}, StatedScan(scan_id=scan_id, **facts))


def stored(scan_id, key):
    return StoredScan(1, scan_id, key, "xnat:mrScanData", frozenset(), frozenset(), {})


def pet(body, name="pet.v"):
    return Sent(name, "", body, derived_key("ecat", name), "", "ECAT")


def case(*sent, **more):
    found = tuple(ecat(one.name, ordinal) for ordinal, one in enumerate(sent))
    return replace(archive_case(*sent, **more), series=found)


def test_ecat_scans_are_numbered_in_the_order_of_the_upload():
    keys = [derived_key("ecat", name) for name in ("z.v", "a.v")]
    assert assign([ecat("a.v", 1), ecat("z.v", 0)], []) == {keys[0]: "1", keys[1]: "2"}


def test_numbers_that_are_taken_are_passed_over():
    assert assign([ecat("a.v"), series("1.5", "1")], [stored("2", "1.9")])[derived_key("ecat", "a.v")] == "3"


def test_the_sender_gives_the_first_number():
    assert assign([ecat("a.v", first=7)], []) == {derived_key("ecat", "a.v"): "7"}


def test_a_file_of_the_same_name_goes_to_its_scan():
    assert assign([ecat("pet.v")], [stored("4", PET_KEY)]) == {PET_KEY: "4"}


def test_a_document_names_its_scan():
    assert assign([described("13", "1.2")], []) == {"1.2": "13"}


@pytest.mark.parametrize(("there", "uid"), [("", "1.2"), ("1.2", ""), ("", ""), ("1.2", "1.2")])
def test_a_scan_that_is_there_under_that_id_is_the_one_that_is_meant(there, uid):
    one = described("13", uid)
    assert assign([one], [stored("13", there or derived_key("xar", "scan", "13"))])[one.series_instance_uid] == "13"


def test_another_series_under_that_id_is_renamed():
    assert assign([described("13", "1.2")], [stored("13", "1.9")]) == {"1.2": "13-OT1"}


def test_the_session_itself_is_no_scan():
    own = Series(SESSION_KEY, frozenset(), frozenset(), {}, StatedScan(is_session=True))
    assert assign([own, ecat("a.v")], [])[SESSION_KEY] == ""


def test_derived_keys_are_no_uids():
    assert (uid_of(PET_KEY), uid_of(SESSION_KEY), uid_of("1.2.3")) == ("", "", "1.2.3")


def test_ecat_makes_a_pet_session_with_pet_scans():
    decision = decide(case(pet("one"), pet("two", "b.v")))
    assert decision.xsi_type == "xnat:petSessionData"
    assert {scan.scan_id: scan.xsi_type for scan in decision.contents.scans} == {
        "1": "xnat:petScanData",
        "2": "xnat:petScanData",
    }


def test_the_same_file_again_changes_nothing():
    first = case(pet("one"))
    there = replace(after(first, decide(first)), subject_id="S_1")
    again = decide(case(pet("one"), target=there))
    assert again.outcome is Outcome.UNCHANGED
    assert again.findings[0].verdict is Verdict.IDENTICAL


@pytest.mark.parametrize(
    ("overwrite", "duplicates", "verdict"),
    [
        (Overwrite.APPEND, Duplicates.IDENTICAL, Verdict.CONFLICT),
        (Overwrite.DELETE, Duplicates.IDENTICAL, Verdict.REPLACED),
        (Overwrite.APPEND, Duplicates.KEEP, Verdict.KEPT),
    ],
)
def test_without_a_uid_a_file_is_known_by_its_name(overwrite, duplicates, verdict):
    first = case(pet("one"))
    there = after(first, decide(first))
    decision = decide(case(pet("other"), target=there, overwrite=overwrite, duplicates=duplicates))
    assert decision.findings[0].verdict is verdict
    if verdict is Verdict.CONFLICT:
        assert decision.problem == CLASHES[Clash.MATCHING]


def test_a_file_that_is_there_does_not_keep_a_new_one_out():
    first = case(pet("one"))
    there = replace(after(first, decide(first)), subject_id="S_1")
    both = decide(case(pet("one"), pet("two", "b.v"), target=there, overwrite=Overwrite.APPEND))
    assert both.problem is None
    assert [(file.scan_id, file.name) for file in both.contents.files] == [("2", "b.v")]


def test_two_files_with_the_same_bytes_and_no_uid_are_two():
    sent = [replace(pet("same", name), series=PET_KEY) for name in ("a.v", "b.v")]
    decision = decide(replace(archive_case(*sent), series=(ecat("pet.v"),)))
    assert [file.name for file in decision.contents.files] == ["a.v", "b.v"]
    assert decision.problem is None


def test_a_document_says_what_the_session_is_whatever_its_scans_say():
    own = Series(SESSION_KEY, frozenset(), frozenset(), {"Modality": "MR"}, StatedScan(is_session=True))
    sr = Series("1.2", frozenset(), frozenset(), {"Modality": "SR"}, StatedScan(scan_id="1"))
    assert session_attributes([own, sr]) == {"Modality": "MR"}
    assert session_attributes([sr]) == {"Modality": "SR"}


def test_a_described_scan_is_there_without_files():
    own = Series(SESSION_KEY, frozenset(), frozenset(), {}, StatedScan(is_session=True))
    empty = replace(archive_case(), series=(own, described("2", xsi_type="xnat:ctScanData")))
    decision = decide(empty)
    assert decision.outcome is Outcome.MERGED
    assert [(scan.scan_id, scan.xsi_type) for scan in decision.contents.scans] == [("2", "xnat:ctScanData")]
    there = after(empty, decision)
    same = decide(replace(empty, target=there, policy=replace(empty.policy, overwrite=Overwrite.APPEND)))
    assert same.outcome is Outcome.UNCHANGED

"""What a prearchive entry becomes when it is built, from its whole set of scans."""

import pytest

from libs.common.dicom_classes import PetMr
from services.archiver.builds import part_name, plan_build
from services.archiver.cases import Place, Session, StoredScan
from tests.unit.services.archiver.situations import MR, PET, SR, session

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def scan(row: int, uid: str, number: str, sop_class: str = MR, modality: str = "MR", name: str = "t1") -> StoredScan:
    attributes: dict[str, str | None] = {"SeriesNumber": number, "SeriesDescription": name, "PatientID": "P1"}
    return StoredScan(
        row, f"was {row}", uid, "xnat:mrScanData", frozenset({modality}), frozenset({sop_class}), attributes
    )


def entry(*scans: StoredScan, is_shared: bool = True) -> Session:
    return session(place=Place.PREARCHIVE, status="RECEIVING", is_shared=is_shared, scans=scans)


def ids(built: Session) -> dict[int, str]:
    (part,) = plan_build(built, PetMr.PETMR)
    return {one.row: one.scan_id for one in part.scans}


def test_scan_ids_come_from_the_whole_set_whatever_they_were_while_it_was_received() -> None:
    """§4.6: every one of several series of a number gets a suffix, in the order of their UIDs."""
    scans = (scan(1, "1.9", "3"), scan(2, "1.8", "3"), scan(3, "1.7", "3", SR, "SR"), scan(4, "1.6", "5"))
    expected = {1: "3-MR2", 2: "3-MR1", 3: "3-SR1", 4: "5"}
    assert ids(entry(*scans)) == expected
    assert ids(entry(*reversed(scans))) == expected


def test_an_entry_that_is_its_imports_own_keeps_its_scan_ids() -> None:
    assert ids(entry(scan(1, "1.9", "3"), scan(2, "1.8", "3"), is_shared=False)) == {1: "was 1", 2: "was 2"}


def test_a_scan_without_a_uid_keeps_what_its_importer_has_said() -> None:
    (part,) = plan_build(entry(scan(1, "ecat:1f", "", PET, "PT")), PetMr.PETMR)
    assert [(one.scan_id, one.xsi_type) for one in part.scans] == [("was 1", "xnat:mrScanData")]


def test_types_and_attributes_are_those_of_all_scans() -> None:
    (part,) = plan_build(entry(scan(1, "1.1", "1"), scan(2, "1.2", "2", SR, "SR", "report")), PetMr.PETMR)
    assert part.xsi_type == "xnat:mrSessionData"
    assert [(one.xsi_type, one.modality) for one in part.scans] == [
        ("xnat:mrScanData", "MR"),
        ("xnat:srScanData", "SR"),
    ]
    assert part.attributes == {"SeriesNumber": None, "SeriesDescription": None, "PatientID": "P1"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (PetMr.PETMR, [("", "xnat:petmrSessionData")]),
        (PetMr.PET, [("", "xnat:petSessionData")]),
        (PetMr.SEPARATE, [("PET", "xnat:petSessionData"), ("MR", "xnat:mrSessionData")]),
    ],
)
def test_the_policy_says_what_pet_with_mr_becomes(policy: PetMr, expected: list[tuple[str, str]]) -> None:
    parts = plan_build(entry(scan(1, "1.1", "1", PET, "PT"), scan(2, "1.2", "2")), policy)
    assert [(part.word, part.xsi_type) for part in parts] == expected


def test_attenuation_maps_go_with_the_pet_and_all_else_with_the_mr() -> None:
    scans = (
        scan(1, "1.1", "1", PET, "PT"),
        scan(2, "1.2", "2", name="Head_MRAC_PET"),
        scan(3, "1.3", "3"),
        scan(4, "1.4", "4", SECONDARY_CAPTURE, "SC"),
        scan(5, "1.5", "5", SECONDARY_CAPTURE, "PT"),
    )
    pet, mr = plan_build(entry(*scans), PetMr.SEPARATE)
    assert [one.row for one in pet.scans] == [1, 2, 5]
    assert [one.row for one in mr.scans] == [3, 4]


def test_maps_alone_are_no_mr_session() -> None:
    scans = (scan(1, "1.1", "1", PET, "PT"), scan(2, "1.2", "2", name="MRAC"))
    assert [part.xsi_type for part in plan_build(entry(*scans), PetMr.SEPARATE)] == ["xnat:petSessionData"]


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("E1", set(), "E1_PET"),
        ("E1_PETMR_2", set(), "E1_PET_2"),
        ("E1", {"E1_PET"}, "E1_PET_1"),
        ("petmr", set(), "petmr_PET"),
    ],
)
def test_halves_are_named_after_the_whole(name: str, taken: set[str], expected: str) -> None:
    """§2.3."""
    assert part_name(name, "PET", taken) == expected

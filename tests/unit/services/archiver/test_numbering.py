"""Scan IDs."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.archiver.cases import Series, StoredScan
from services.archiver.numbering import assign, base_id, is_same_number
from tests.unit.services.archiver.situations import CT, MR, PET, SR, series


def stored(row: int, scan_id: str, uid: str) -> StoredScan:
    return StoredScan(row, scan_id, uid, "xnat:mrScanData", frozenset({"MR"}), frozenset({MR}), {})


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("4", "4"),
        (" 4 ", "4"),
        ("+4", "_4"),
        ("-4", "-4"),
        ("4/5", "4_5"),
        ("", "1_5"),
        (None, "1_5"),
        ("..", "1_5"),
    ],
)
def test_a_scan_is_called_by_its_number_or_else_its_uid(number: str | None, expected: str) -> None:
    assert base_id(series("1.5", number)) == expected


def test_series_that_share_a_number_are_all_renamed() -> None:
    three = [
        series("1.9", "3"),
        series("1.2", "3"),
        series("1.5", "3", SR, "SR"),
        series("1.7", "4"),
    ]
    assert assign(three, ()) == {"1.2": "3-MR1", "1.9": "3-MR2", "1.5": "3-SR1", "1.7": "4"}


@pytest.mark.parametrize(("sop_class", "modality", "word"), [(MR, "MR", "MR"), (PET, "PT", "PT"), (CT, "CT", "CT")])
def test_a_newcomer_beside_a_scan_of_its_number_is_renamed_after_its_type(
    sop_class: str, modality: str, word: str
) -> None:
    assert assign([series("1.6", "1", sop_class, modality)], [stored(1, "1", "1.5")]) == {"1.6": f"1-{word}1"}


def test_a_newcomer_takes_the_first_free_number() -> None:
    there = [stored(1, "1", "1.5"), stored(2, "1-MR1", "1.6")]
    assert assign([series("1.7", "1")], there) == {"1.7": "1-MR2"}


def test_a_renamed_scan_is_found_again_by_its_uid() -> None:
    there = [stored(1, "1", "1.5"), stored(2, "1-MR1", "1.6")]
    assert assign([series("1.6", "1"), series("1.5", "1")], there) == {"1.6": "1-MR1", "1.5": "1"}


def test_a_uid_that_two_scans_have_goes_to_the_older_one() -> None:
    assert assign([series("1.5", "9")], [stored(2, "2", "1.5"), stored(1, "1", "1.5")]) == {"1.5": "1"}


@pytest.mark.parametrize(
    ("scan_id", "expected"),
    [("1", True), ("1-MR1", True), ("1-PT12", True), ("2", False), ("11", False), ("1-1", False)],
)
def test_a_renamed_scan_has_the_same_number(scan_id: str, expected: bool) -> None:
    assert is_same_number(series("1.5", "1"), scan_id) is expected


ANY_SERIES = st.lists(
    st.builds(series, st.sampled_from(["1.1", "1.2", "1.3", "1.4"]), st.sampled_from(["1", "2", "1-MR1", ""])),
    unique_by=lambda one: one.series_instance_uid,
    max_size=4,
)
THERE = [stored(1, "1", "1.1"), stored(2, "1-MR1", "1.2")]


@given(ANY_SERIES, st.sampled_from([[], THERE]), st.randoms())
def test_ids_are_unique_and_do_not_depend_on_the_order(
    found: list[Series], there: list[StoredScan], random: "itertools.chain[int]"
) -> None:
    ids = assign(found, there)
    assert ids.keys() == {one.series_instance_uid for one in found}
    everything = {scan.series_instance_uid: scan.scan_id for scan in there} | ids
    assert len(set(everything.values())) == len(everything)
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert assign(shuffled, there) == ids

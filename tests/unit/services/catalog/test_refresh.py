"""What a refresh decides, from rows and objects alone (import semantics §9.2)."""

import pytest

from libs.common.commands import Refreshed, RefreshOption
from services.catalog.refresh import (
    Bucket,
    ByHand,
    Contents,
    DicomFacts,
    Plan,
    Row,
    compare,
    place_of,
    settle,
    union,
)

ALL = frozenset(RefreshOption)
NONE: frozenset[RefreshOption] = frozenset()
IMPORTED = "sessions/P/E/0123456789abcdef/4_ab12cd34/000001_1.dcm"
FOLDER = "sessions/P/E/SCANS/4/DICOM/"


def row(name: str = "1.dcm", key: str = IMPORTED, size: int = 10) -> Row:
    return Row(1, name, key, size, "m", "s")


def by_hand(name: str = "2.dcm") -> ByHand:
    return ByHand(name, FOLDER + name, 20)


def plan_of(rows: list[Row], sizes: dict[str, int], *objects: ByHand, options: frozenset[RefreshOption] = ALL) -> Plan:
    bucket = Bucket({one.object_key for one in rows}, sizes, objects)
    return compare(rows, bucket, (), options)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("SCANS/4/DICOM/1.dcm", ("SCANS/4/DICOM", "1.dcm")),
        ("SCANS/4/NIFTI/a/b/c.nii", ("SCANS/4/NIFTI", "a/b/c.nii")),
        ("RESOURCES/NOTES/read me.txt", ("RESOURCES/NOTES", "read me.txt")),
        ("SCANS/4/DICOM/scan_4_catalog.xml", None),
        ("SCANS/4/DICOM/other_catalog.xml", None),
        ("SCANS/4/loose.txt", None),
        ("SCANS/4/DICOM/", None),
        ("SCANS/4/DICOM/folder/", None),
        ("SCANS", None),
        ("session.xml", None),
        ("0123456789abcdef/4_ab12cd34/000001_1.dcm", None),
    ],
)
def test_only_files_in_a_resources_folder_are_found(path: str, place: tuple[str, str] | None) -> None:
    assert place_of(path) == place


def test_an_object_without_a_row_is_added_and_only_with_append() -> None:
    assert plan_of([], {}, by_hand()).add == [by_hand()]
    left = plan_of([], {}, by_hand(), options=ALL - {RefreshOption.APPEND})
    assert (left.add, left.problem) == ([], "")


def test_an_object_that_any_row_has_is_not_found_again() -> None:
    bucket = Bucket((), {}, [by_hand()])
    assert not compare([], bucket, {by_hand().object_key}, ALL).add
    mine = row("renamed.dcm", by_hand().object_key, 20)
    assert not plan_of([mine], {mine.object_key: 20}, by_hand()).add


def test_a_row_whose_object_is_gone_is_removed_and_only_with_delete() -> None:
    assert plan_of([row()], {}).remove == [row()]
    left = plan_of([row()], {}, options=ALL - {RefreshOption.DELETE})
    assert (left.remove, left.missing) == ([], 1)
    assert "1 entries have no object" in left.problem


def test_a_row_that_is_newer_than_the_listing_is_not_missed_in_it() -> None:
    plan = compare([row()], Bucket((), {}, ()), (), ALL)
    assert (plan.remove, plan.missing) == ([], 0)


def test_a_name_that_another_file_has_is_left_and_told() -> None:
    plan = plan_of([row()], {IMPORTED: 10}, by_hand("1.dcm"))
    assert (plan.add, plan.clashing) == ([], 1)
    assert "1 objects have the name of another file" in plan.problem


def test_a_lost_file_that_was_put_back_by_hand_takes_its_place() -> None:
    plan = plan_of([row()], {}, by_hand("1.dcm"))
    assert (plan.remove, plan.add, plan.problem) == ([row()], [by_hand("1.dcm")], "")


def test_bytes_are_read_for_checksums_and_where_the_size_is_another() -> None:
    assert plan_of([row()], {IMPORTED: 10}).check == [row()]
    assert plan_of([row()], {IMPORTED: 10}, options=NONE).check == []
    assert plan_of([row()], {IMPORTED: 11}, options=NONE).check == [row()]


def test_only_what_differs_is_modified_and_what_could_not_be_read_is_left() -> None:
    same, other = Contents(10, "m", "s", None), Contents(10, "n", "t", DicomFacts("1.2", "1.3", "1", 1))
    plan = plan_of([row()], {IMPORTED: 10}, by_hand())
    assert not settle(plan, {IMPORTED: same}).is_change
    settled = settle(plan, {IMPORTED: other, by_hand().object_key: same})
    assert settled.modified == {row(): other}
    assert settled.added == {by_hand(): same}
    assert settled.line("SCANS/4/DICOM", "") == Refreshed(folder="SCANS/4/DICOM", added=1, modified=1)


def test_lines_of_one_folder_add_up() -> None:
    one = Refreshed(folder="B", added=1, problem="p")
    other = Refreshed(folder="B", removed=2, problem="p")
    assert union([one, Refreshed(folder="A"), other]) == [
        Refreshed(folder="A"),
        Refreshed(folder="B", added=1, removed=2, problem="p"),
    ]

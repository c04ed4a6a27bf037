"""File by file (§7.5): one row each of how an upload's file meets one that is there."""

from dataclasses import dataclass

import pytest

from libs.common.facts import Verdict
from libs.common.requests import Area, Duplicates, Overwrite
from services.archiver.cases import Policy
from services.archiver.files import Clash, Comparison, compare, settle
from tests.unit.services.archiver.situations import ENHANCED_MR, RT_STRUCT, Sent, archived, new_files

STORED, IDENTICAL, KEPT, REPLACED, CONFLICT = (
    Verdict.STORED,
    Verdict.IDENTICAL,
    Verdict.KEPT,
    Verdict.REPLACED,
    Verdict.CONFLICT,
)
THERE = Sent("1.dcm", "u1", "a")
OTHER_BYTES = Sent("1.dcm", "u1", "b")
OTHER_NAME = Sent("x.dcm", "u1", "a")
OTHER_BYTES_AND_NAME = Sent("x.dcm", "u1", "b")
OTHER_INSTANCE = Sent("1.dcm", "u2", "c")
OTHER_CLASS = Sent("x.dcm", "u1", "d", sop_class=ENHANCED_MR)
NEW = Sent("2.dcm", "u2", "c")

ID, XN, KEEP = Duplicates.IDENTICAL, Duplicates.CONFLICT, Duplicates.KEEP


@dataclass(frozen=True)
class Meets:
    verdict: Verdict
    clash: Clash | None = None
    name: str | None = None
    replaces: bool = False


def meet(*sent: Sent, there: tuple[Sent, ...] = (THERE,), policy: Policy) -> Comparison:
    upload = settle(new_files(sent), {"1.5": "1"})
    return compare(upload, archived(*there).files, {1: "1"}, policy)


def policy(duplicates: Duplicates, replaces: bool, area: Area = Area.ARCHIVE) -> Policy:
    return Policy(area, Overwrite.DELETE if replaces else Overwrite.APPEND, duplicates, replaces)


@pytest.mark.parametrize(
    ("sent", "duplicates", "replaces", "expected"),
    [
        (NEW, ID, False, Meets(STORED, name="2.dcm")),
        (NEW, XN, False, Meets(STORED, name="2.dcm")),
        (NEW, KEEP, False, Meets(STORED, name="2.dcm")),
        # the same bytes
        (THERE, ID, False, Meets(IDENTICAL)),
        (THERE, ID, True, Meets(IDENTICAL)),
        (OTHER_NAME, ID, False, Meets(IDENTICAL)),
        (OTHER_NAME, ID, True, Meets(IDENTICAL)),
        (THERE, KEEP, False, Meets(IDENTICAL)),
        (THERE, XN, False, Meets(CONFLICT, Clash.MATCHING)),
        (THERE, XN, True, Meets(IDENTICAL)),
        (OTHER_NAME, XN, False, Meets(CONFLICT, Clash.SAME_RESOURCE)),
        (OTHER_NAME, XN, True, Meets(REPLACED, name="x.dcm", replaces=True)),
        # other bytes of the instance
        (OTHER_BYTES, ID, False, Meets(CONFLICT, Clash.MATCHING)),
        (OTHER_BYTES, XN, False, Meets(CONFLICT, Clash.MATCHING)),
        (OTHER_BYTES, KEEP, False, Meets(KEPT)),
        (OTHER_BYTES, KEEP, True, Meets(KEPT)),
        (OTHER_BYTES, ID, True, Meets(REPLACED, name="1.dcm", replaces=True)),
        (OTHER_BYTES_AND_NAME, ID, False, Meets(CONFLICT, Clash.SAME_RESOURCE)),
        (OTHER_BYTES_AND_NAME, KEEP, False, Meets(KEPT)),
        (OTHER_BYTES_AND_NAME, ID, True, Meets(REPLACED, name="x.dcm", replaces=True)),
        # another instance under the name (A31)
        (OTHER_INSTANCE, ID, False, Meets(CONFLICT, Clash.MATCHING)),
        (OTHER_INSTANCE, XN, False, Meets(CONFLICT, Clash.MATCHING)),
        (OTHER_INSTANCE, ID, True, Meets(CONFLICT, Clash.NAME_TAKEN)),
        (OTHER_INSTANCE, XN, True, Meets(CONFLICT, Clash.NAME_TAKEN)),
        (OTHER_INSTANCE, KEEP, False, Meets(STORED, name="1.dcm_1")),
        # another class under the UID (A28)
        (OTHER_CLASS, ID, False, Meets(CONFLICT, Clash.SAME_RESOURCE)),
        (OTHER_CLASS, ID, True, Meets(STORED, name="x.dcm")),
        (OTHER_CLASS, KEEP, False, Meets(STORED, name="x.dcm")),
    ],
)
def test_a_file_meets_one_that_is_there(sent: Sent, duplicates: Duplicates, replaces: bool, expected: Meets) -> None:
    found = meet(sent, policy=policy(duplicates, replaces))
    planned = found.files[0] if found.files else None
    assert (
        Meets(
            found.findings[0].verdict,
            found.clash,
            planned.name if planned else None,
            planned is not None and planned.replaces is not None,
        )
        == expected
    )


def test_a_file_without_uids_is_met_by_its_name() -> None:
    note = Sent("1.dcm", "", "text", sop_class="")
    found = meet(THERE, there=(note,), policy=policy(ID, True))
    assert (found.findings[0].verdict, found.clash) == (CONFLICT, Clash.NAME_TAKEN)
    assert meet(Sent("1.dcm", "u1", "text"), there=(note,), policy=policy(ID, False)).findings[0].verdict is IDENTICAL


def test_in_the_prearchive_another_class_is_another_file() -> None:
    assert meet(OTHER_CLASS, policy=policy(ID, False, Area.PREARCHIVE)).findings[0].verdict is STORED


def test_another_resource_or_scan_is_another_place() -> None:
    secondary = Sent("1.dcm", "u1", "b", sop_class=RT_STRUCT, resource="secondary")
    assert meet(secondary, policy=policy(ID, False)).findings[0].verdict is STORED
    upload = settle(new_files([OTHER_BYTES]), {"1.5": "2"})
    assert compare(upload, archived(THERE).files, {1: "1"}, policy(ID, False)).findings[0].verdict is STORED


def test_matching_names_give_the_answer_its_text() -> None:
    found = meet(OTHER_BYTES_AND_NAME, Sent("9.dcm", "u9", "z"), policy=policy(ID, False), there=(THERE,))
    assert found.clash is Clash.SAME_RESOURCE
    both = meet(
        OTHER_BYTES_AND_NAME,
        Sent("9.dcm", "u9", "z"),
        policy=policy(ID, False),
        there=(THERE, Sent("9.dcm", "u8", "y")),
    )
    assert both.clash is Clash.MATCHING
    reasons = [both.findings[ordinal].reason for ordinal in (0, 1)]
    assert reasons[0].startswith("Session already exists with the same resources. ")
    assert reasons[1].startswith("Session already exists with matching files. ")


def test_what_one_file_of_the_upload_confirms_is_not_replaced_by_another() -> None:
    found = meet(Sent("y.dcm", "u1", "b"), THERE, policy=policy(ID, True))
    assert [found.findings[ordinal].verdict for ordinal in (0, 1)] == [STORED, IDENTICAL]
    renamed = meet(OTHER_BYTES, OTHER_NAME, policy=policy(ID, True))
    assert [renamed.findings[ordinal].verdict for ordinal in (0, 1)] == [STORED, IDENTICAL]
    assert renamed.files[0].name == "1.dcm_1"


def test_a_row_is_replaced_once_and_that_of_the_same_name_first() -> None:
    there = (THERE, Sent("2.dcm", "u1", "b"))
    found = meet(
        Sent("2.dcm", "u1", "x"),
        Sent("3.dcm", "u1", "y"),
        Sent("4.dcm", "u1", "z"),
        there=there,
        policy=policy(ID, True),
    )
    assert [(one.name, one.replaces) for one in found.files] == [("2.dcm", 11), ("3.dcm", 10), ("4.dcm", None)]


def test_a_kept_name_gets_a_suffix_that_nobody_has() -> None:
    found = meet(
        OTHER_INSTANCE,
        Sent("1.dcm_2", "u4", "e"),
        there=(THERE, Sent("1.dcm_1", "u3", "d")),
        policy=policy(KEEP, False),
    )
    assert [one.name for one in found.files] == ["1.dcm_3", "1.dcm_2"]


def test_equal_bytes_in_one_upload_count_once() -> None:
    upload = settle(new_files([THERE, OTHER_NAME, NEW]), {"1.5": "1"})
    assert [one.file.ordinal for one in upload.files] == [0, 2]
    assert upload.copies == {1: 0}
    assert not upload.doubled_scans


def test_equal_names_in_one_upload_get_suffixes_in_the_order_of_ordinals() -> None:
    files = new_files([Sent("1.dcm", f"u{number}", f"b{number}") for number in range(3)])
    upload = settle(reversed(files), {"1.5": "1"})
    assert [(one.file.ordinal, one.name) for one in upload.files] == [(0, "1.dcm"), (1, "1.dcm_1"), (2, "1.dcm_2")]


@pytest.mark.parametrize(
    ("second", "doubled"),
    [
        (OTHER_BYTES, True),
        (OTHER_CLASS, True),
        (OTHER_NAME, False),
        (Sent("1.dcm", "u1", "b", sop_class=RT_STRUCT, resource="secondary"), False),
        (NEW, False),
    ],
)
def test_an_instance_twice_in_one_resource_is_noticed(second: Sent, doubled: bool) -> None:
    upload = settle(new_files([THERE, second]), {"1.5": "1"})
    assert upload.doubled_scans == (frozenset({"1"}) if doubled else frozenset())


@pytest.mark.parametrize(("duplicates", "expected"), [(ID, [REPLACED, IDENTICAL]), (KEEP, [KEPT, KEPT])])
def test_a_copy_is_kept_out_with_its_original(duplicates: Duplicates, expected: list[Verdict]) -> None:
    found = meet(OTHER_BYTES, OTHER_BYTES, policy=policy(duplicates, True))
    assert [found.findings[ordinal].verdict for ordinal in (0, 1)] == expected

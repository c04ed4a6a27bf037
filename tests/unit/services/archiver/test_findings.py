"""The table of `validate-archive` (import semantics §9.3)."""

import pytest

from libs.common.requests import Overwrite
from services.archiver.aims import PROJECT_DIFFERS
from services.archiver.cases import Aim, Case
from services.archiver.findings import findings
from tests.unit.services.archiver.situations import Sent, archive_case, archived, series


def codes(case: Case) -> list[tuple[int, str]]:
    return [(line.code, line.type) for line in findings(case)]


def test_nothing_is_in_the_way_of_a_new_session_of_a_known_subject() -> None:
    assert codes(archive_case(Sent("1", "1.1", "one"))) == []


def test_a_new_subject_is_a_warning_and_none_a_failure() -> None:
    assert codes(archive_case(Sent("1", "1.1", "one"), subject=None)) == [(12, "WARN")]
    nobody = Aim(archive_case(Sent("1", "1.1", "one")).aim.area, label="L1")
    assert codes(archive_case(Sent("1", "1.1", "one"), subject=None, aim=nobody)) == [(11, "FAIL")]


def test_another_project_is_a_failure() -> None:
    plain = archive_case(Sent("1", "1.1", "one"))
    aim = Aim(plain.aim.area, label="L1", subject="S1", problem=PROJECT_DIFFERS)
    assert codes(archive_case(Sent("1", "1.1", "one"), aim=aim)) == [(3, "FAIL")]


@pytest.mark.parametrize("overwrite", list(Overwrite))
def test_a_session_that_is_there_is_named_whatever_overwrite_says(overwrite: Overwrite) -> None:
    case = archive_case(Sent("2", "1.2", "two"), target=archived(Sent("1", "1.1", "one")), overwrite=overwrite)
    assert codes(case) == [(1, "CONFLICT"), (16, "CONFLICT")]


def test_all_that_differs_is_named() -> None:
    there = archived(Sent("1", "1.1", "one"), subject_id="S_2", study_instance_uid="9.9", xsi_type="xnat:ctSessionData")
    case = archive_case(Sent("1", "1.1", "other bytes"), target=there)
    assert codes(case) == [
        (1, "CONFLICT"),
        (4, "FAIL"),
        (5, "CONFLICT"),
        (14, "CONFLICT"),
        (16, "CONFLICT"),
        (19, "FAIL"),
    ]


def test_a_scan_that_would_be_renamed_and_one_of_another_number_are_named() -> None:
    renamed = archive_case(
        Sent("1", "7.1", "x", series="1.6"), target=archived(Sent("1", "1.1", "one")), series=(series("1.6"),)
    )
    assert codes(renamed) == [(1, "CONFLICT"), (17, "CONFLICT")]
    other = archive_case(Sent("2", "1.2", "x"), target=archived(Sent("1", "1.1", "one"), scan_id="7"))
    assert codes(other) == [(1, "CONFLICT"), (16, "CONFLICT"), (18, "CONFLICT")]

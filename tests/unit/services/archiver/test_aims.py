"""Where a session goes."""

import pytest

from libs.common.requests import Area, Destination, Duplicates, ImportRequest, Overwrite
from services.archiver.aims import NO_PROJECT, aim_of, policy_of
from services.archiver.cases import Codes
from tests.unit.services.archiver.situations import session

ARCHIVE, PREARCHIVE = Area.ARCHIVE, Area.PREARCHIVE


def request(area: Area | None = None, **wanted: object) -> ImportRequest:
    return ImportRequest(destination=Destination.model_validate({"area": area, **wanted}))


@pytest.mark.parametrize(
    ("area", "auto_archive", "code", "expected"),
    [
        (ARCHIVE, False, 0, ARCHIVE),
        (PREARCHIVE, True, 5, PREARCHIVE),
        (None, True, 0, ARCHIVE),
        (None, False, 5, PREARCHIVE),
        (None, None, 4, ARCHIVE),
        (None, None, 5, ARCHIVE),
        (None, None, 0, PREARCHIVE),
        (None, None, 1, PREARCHIVE),
    ],
)
def test_dest_decides_then_auto_archive_then_the_project(
    area: Area | None, auto_archive: bool | None, code: int, expected: Area
) -> None:
    assert aim_of(session(auto_archive=auto_archive), request(area), Codes(code)).area is expected


def test_without_a_project_an_archive_dest_is_an_error() -> None:
    aim = aim_of(session(project=None), request(ARCHIVE), Codes())
    assert (aim.area, aim.problem) == (PREARCHIVE, NO_PROJECT)


def test_without_a_project_auto_archive_is_not_followed() -> None:
    aim = aim_of(session(project=None, auto_archive=True), request(), Codes())
    assert (aim.area, aim.problem) == (PREARCHIVE, None)


@pytest.mark.parametrize(
    ("wanted", "label", "folder", "expected"),
    [
        ("E 1.x", "L1", "PAT01", "E_1_x"),
        (None, "L^1", "PAT01", "L_1"),
        (None, "", "PAT01", "PAT01"),
    ],
)
def test_the_label_is_the_senders_then_the_entrys_then_the_folder(
    wanted: str | None, label: str, folder: str, expected: str
) -> None:
    aim = aim_of(session(label=label, folder=folder), request(ARCHIVE, session=wanted), Codes())
    assert (aim.session, aim.label) == (wanted, expected)


@pytest.mark.parametrize(
    ("wanted", "header", "expected"),
    [("S9", "S1", ("S9", True)), (None, "S1", ("S1", False)), (None, "", (None, False))],
)
def test_the_subject_is_the_senders_then_the_headers(
    wanted: str | None, header: str, expected: tuple[str | None, bool]
) -> None:
    aim = aim_of(session(subject_label=header), request(ARCHIVE, subject=wanted), Codes())
    assert (aim.subject, aim.subject_is_named) == expected


def test_a_prearchive_dest_names_timestamp_and_folder() -> None:
    aim = aim_of(session(), request(PREARCHIVE, timestamp="T", folder="F"), Codes(4))
    assert (aim.timestamp, aim.folder) == ("T", "F")


@pytest.mark.parametrize(
    ("area", "overwrite", "overwrite_files", "code", "expected"),
    [
        (None, Overwrite.NONE, False, 4, (Overwrite.NONE, False)),
        (None, Overwrite.NONE, False, 5, (Overwrite.DELETE, True)),
        (None, Overwrite.APPEND, False, 5, (Overwrite.APPEND, True)),
        (ARCHIVE, Overwrite.NONE, False, 5, (Overwrite.NONE, True)),
        (ARCHIVE, Overwrite.APPEND, False, 0, (Overwrite.APPEND, False)),
        (ARCHIVE, Overwrite.APPEND, True, 0, (Overwrite.APPEND, True)),
        (ARCHIVE, Overwrite.DELETE, False, 0, (Overwrite.DELETE, True)),
    ],
)
def test_what_may_happen_to_an_archived_session(
    area: Area | None, overwrite: Overwrite, overwrite_files: bool, code: int, expected: tuple[Overwrite, bool]
) -> None:
    asked = ImportRequest(destination=Destination(area=area), overwrite=overwrite, overwrite_files=overwrite_files)
    policy = policy_of(asked, ARCHIVE, Codes(code))
    assert (policy.overwrite, policy.replaces_files) == expected


def test_in_the_prearchive_nothing_is_replaced() -> None:
    asked = ImportRequest(overwrite=Overwrite.DELETE, overwrite_files=True, duplicates=Duplicates.KEEP)
    policy = policy_of(asked, PREARCHIVE, Codes(5))
    assert (policy.overwrite, policy.replaces_files, policy.duplicates) == (Overwrite.DELETE, False, Duplicates.KEEP)


@pytest.mark.parametrize(
    ("asked", "code", "expected"), [(None, 0, False), (None, 1, True), (True, 0, True), (False, 1, False)]
)
def test_quarantine_is_the_senders_then_the_projects(asked: bool | None, code: int, expected: bool) -> None:
    assert policy_of(ImportRequest(quarantine=asked), ARCHIVE, Codes(0, code)).quarantines is expected

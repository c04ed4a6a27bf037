"""A stored entry as a case of the merge: what its command says."""

import pytest

from libs.common.commands import Archive
from libs.common.requests import Overwrite
from services.archiver.cases import Codes
from services.archiver.stored import Wanted

PATHS = {"xnat:mrSessionData/label": "E 1", "xnat:mrSessionData/subject_id": "S1", "xnat:mrSessionData/note": "n"}


def test_labels_are_the_parameters_or_else_the_xml_paths() -> None:
    """§7.2 steps 3 and 5; clients write `subject_ID` and `subject_id` (A14)."""
    by_path = Wanted(Archive(xml_paths=PATHS)).request("P", Codes()).destination
    assert (by_path.session, by_path.subject) == ("E 1", "S1")
    named = Wanted(Archive(session="E2", subject="S2", xml_paths=PATHS)).request("P", Codes()).destination
    assert (named.session, named.subject) == ("E2", "S2")


def test_an_address_is_no_field_of_the_session() -> None:
    assert Wanted(Archive(xml_paths=PATHS)).fields == {"xnat:mrSessionData/note": "n"}


def test_a_blank_path_names_nothing() -> None:
    assert (
        Wanted(Archive(xml_paths={"xnat:mrSessionData/label": " "})).request("P", Codes()).destination.session is None
    )


@pytest.mark.parametrize(
    ("overwrite", "is_automatic", "code", "expected"),
    [
        (Overwrite.NONE, False, 4, Overwrite.NONE),
        (Overwrite.NONE, True, 0, Overwrite.APPEND),
        (Overwrite.NONE, True, 4, Overwrite.APPEND),
        (Overwrite.NONE, True, 5, Overwrite.DELETE),
        (Overwrite.APPEND, True, 5, Overwrite.APPEND),
        (Overwrite.DELETE, True, 4, Overwrite.DELETE),
    ],
)
def test_what_is_archived_by_itself_may_merge(
    overwrite: Overwrite, is_automatic: bool, code: int, expected: Overwrite
) -> None:
    """§7.7: AutoArchive merges and stops at conflicts, AutoArchiveOverwrite replaces."""
    wanted = Wanted(Archive(overwrite=overwrite), is_automatic)
    assert wanted.request("P", Codes(prearchive=code)).overwrite is expected

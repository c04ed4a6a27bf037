"""Members that are not DICOM, where the sender wants all or none."""

import pytest

from libs.common.facts import Encoding, Instance, Member
from libs.common.importers import IMPORTERS
from libs.common.requests import ImportRequest, Unparsable
from services.router.headers import DIRECTORY, UNREADABLE, Header, NotDicom
from services.router.refusals import complete, refusal

HEADER = Header(Instance("1.2", "1.3", "1.4", "1.5", "MR", "1", "1", 1, "DICOM"), {})
TEXT = NotDicom("not DICOM: text")


def member(ordinal: int, path: str) -> Member:
    return Member(ordinal, path, "s", 0, 1, 1, Encoding.PLAIN)


def said(path: str, outcome: Header | NotDicom, **request: object) -> str | None:
    asked = ImportRequest.model_validate({"handler": "DICOM-zip", **request})
    refused = refusal([member(0, "d/1.dcm"), member(1, path)], {0: HEADER, 1: outcome}, asked)
    return None if refused is None else refused.detail


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (TEXT, "unable to read DICOM object note.dcm: not DICOM: text."),
        (UNREADABLE, "unable to read DICOM object note.dcm: unreadable DICOM header."),
        (NotDicom("no SOP Instance UID"), "object note.dcm contains no SOP Instance UID."),
    ],
)
def test_the_first_one_is_named_by_its_last_part(outcome: NotDicom, text: str) -> None:
    """A17, A18."""
    assert str(said("a/note.dcm", outcome)).startswith(text)


def test_skipping_is_asked_for_or_the_handlers_own() -> None:
    assert said("a/note.dcm", TEXT, unparsable=Unparsable.SKIP) is None
    assert said("a/note.dcm", TEXT, handler="SI") is None
    assert said("a/note.dcm", TEXT, handler="SI", unparsable=Unparsable.REFUSE) is not None


@pytest.mark.parametrize(("path", "outcome"), [("a/DICOMDIR", TEXT), ("a/dir", DIRECTORY)])
def test_a_directory_of_files_is_skipped_by_name_or_content(path: str, outcome: NotDicom) -> None:
    assert said(path, outcome) is None


def test_an_object_without_its_class_is_none_for_a_shared_entry() -> None:
    without = Header(Instance("1.2", "1.3", "1.4", "", "MR", "1", "1", 1, "DICOM"), {})
    assert complete({0: without}, IMPORTERS["gradual-DICOM"]) == {0: NotDicom("no SOP Class UID")}
    assert complete({0: without}, IMPORTERS["SI"]) == {0: without}

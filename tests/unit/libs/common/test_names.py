from datetime import UTC, datetime

import pytest

from libs.common import names


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("DOE^JOHN Q.", "DOE_JOHN_Q_"),
        ("Sample Patient", "Sample_Patient"),
        ("12343@hucheng", "12343_hucheng"),
        ("שרון^דבורה", "__________"),
        ("a-b_c9", "a-b_c9"),
    ],
)
def test_header_labels_keep_only_word_characters(text: str, label: str) -> None:
    assert names.clean_header_label(text) == label


@pytest.mark.parametrize(("text", "label"), [("a b/c", "a_b_c"), ("Jérôme!-x", "Jérôme!-x"), ("../x\n", "___x")])
def test_client_labels_are_cleaned_as_at_archiving(text: str, label: str) -> None:
    assert names.clean_label(text) == label


@pytest.mark.parametrize(
    ("text", "dest"),
    [
        ("/prearchive", names.Dest("prearchive")),
        ("/data/prearchive/projects/P", names.Dest("prearchive", project="P")),
        ("/prearchive/projects/P/T/F", names.Dest("prearchive", project="P", timestamp="T", folder="F")),
        ("/archive", names.Dest("archive")),
        ("/REST/archive/projects/P/subjects/S", names.Dest("archive", project="P", subject="S")),
        (
            "/archive/projects/P/subjects/S/experiments/E",
            names.Dest("archive", project="P", subject="S", session="E"),
        ),
        ("/archive/projects/P/experiments/E/", names.Dest("archive", project="P", session="E")),
        ("/archive/subjects/XNAT_S00001", names.Dest("archive", subject="XNAT_S00001")),
        ("/archive/experiments/XNAT_E00001", names.Dest("archive", session="XNAT_E00001")),
    ],
)
def test_every_form_of_dest_is_read(text: str, dest: names.Dest) -> None:
    assert names.parse_dest(text) == dest


@pytest.mark.parametrize(
    "text", ["", "/", "/elsewhere", "/archive/projects", "/prearchive/projects/P/../x", "/archive/projects/a\x00b", "P"]
)
def test_other_dests_are_none(text: str) -> None:
    assert names.parse_dest(text) is None


@pytest.mark.parametrize(
    ("text", "valid"), [("P1", True), ("a-b_c", True), ("unassigned", False), ("a b", False), ("", False)]
)
def test_project_ids(text: str, valid: bool) -> None:
    assert names.is_project_id(text) is valid


def test_timestamp_is_xnats() -> None:
    assert names.prearchive_timestamp(datetime(2024, 1, 31, 10, 15, 30, 123999, UTC)) == "20240131_101530123"


def test_uris_and_catalogs_are_xnats() -> None:
    assert names.prearchive_uri(None, "T", "F") == "/prearchive/projects/Unassigned/T/F"
    assert names.archive_uri("P", "S", "E") == "/archive/projects/P/subjects/S/experiments/E"
    assert names.catalog_name("4", "DICOM") == "scan_4_catalog.xml"
    assert names.catalog_name("4", "secondary") == "scan_4_secondary_catalog.xml"
    assert names.catalog_name(None, "NOTES") == "NOTES_catalog.xml"

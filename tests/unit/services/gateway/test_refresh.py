"""What a refresh is asked for, by XNAT's addresses, words and texts (import semantics §9.1)."""

import json

import pytest

from libs.common.commands import CommandResult, Refreshed, RefreshOption
from libs.common.errors import UserError
from services.gateway.refresh import (
    Address,
    outermost,
    read_addresses,
    read_array,
    read_asked,
    read_operations,
    report,
)

ALL = frozenset(RefreshOption)
APPEND, CHECKSUM, DELETE, STATS = (
    RefreshOption.APPEND,
    RefreshOption.CHECKSUM,
    RefreshOption.DELETE,
    RefreshOption.POPULATE_STATS,
)


def address(**parts: object) -> dict[str, object]:
    return dict.fromkeys(("project", "subject", "session", "scan", "resource")) | {"has_other": False} | parts


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/projects/P", address(project="P")),
        ("/projects/P/resources/R", address(project="P", resource="R")),
        ("/projects/P/subjects/S", address(project="P", subject="S")),
        ("/subjects/XNAT_S1", address(subject="XNAT_S1")),
        ("/subjects/XNAT_S1/resources/R", address(subject="XNAT_S1", resource="R")),
        ("/experiments/E", address(session="E")),
        ("/projects/P/experiments/E", address(project="P", session="E")),
        ("/projects/P/subjects/S/experiments/E", address(project="P", subject="S", session="E")),
        ("/experiments/E/", address(session="E")),
        ("/experiments/E/scans/4", address(session="E", scan="4")),
        ("/experiments/E/scans/4%201/resources/DICOM", address(session="E", scan="4 1", resource="DICOM")),
        ("/experiments/E/resources/17", address(session="E", resource="17")),
        ("/experiments/E/assessors/A/out/resources/R", address(session="E", resource="R", assessor="A")),
        ("/experiments/E/assessors/A", address(session="E", assessor="A")),
        ("/experiments/E/reconstructions/R1", address(session="E", has_other=True)),
    ],
)
@pytest.mark.parametrize("before", ["", "/data", "/REST"])
def test_archive_uris_are_understood(path: str, parts: dict[str, object], before: str) -> None:
    text = f"{before}/archive{path}"
    assert read_addresses([text]) == [Address(text=text, **parts)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Malformed URI: "),
        ("nonsense", "Malformed URI: nonsense"),
        ("/archive", "Malformed URI: /archive"),
        ("/archive/projects/P/scans/4", "Malformed URI: /archive/projects/P/scans/4"),
        ("/archive/experiments/E/scans", "Malformed URI: /archive/experiments/E/scans"),
        ("/prearchive/projects/P/20240131_101530123/E", "Invalid URI: /prearchive/projects/P/20240131_101530123/E"),
        ("/user/cache/resources/R", "Invalid URI: /user/cache/resources/R"),
        ("/archive/experiments/E/resources/R/files/a", "Invalid URI: /archive/experiments/E/resources/R/files/a"),
    ],
)
def test_anything_else_is_refused_in_xnats_words(text: str, told: str) -> None:
    with pytest.raises(UserError) as refusal:
        read_addresses([text])
    assert refusal.value.detail == told


def test_all_bad_addresses_are_named() -> None:
    with pytest.raises(UserError) as refusal:
        read_addresses(["/archive/experiments/E", "x", "/prearchive/y"])
    assert refusal.value.detail.splitlines() == ["Malformed URI: x", "Invalid URI: /prearchive/y"]


@pytest.mark.parametrize(
    ("pairs", "options"),
    [
        ([], ALL),
        ([("options", "append,delete")], {APPEND, DELETE}),
        ([("options", "checksum"), ("options", "append")], {CHECKSUM, APPEND}),
        ([("options", "append"), ("populateStats", "")], {APPEND, STATS}),
        ([("append", "true"), ("delete", "1"), ("checksum", "false"), ("populateStats", "0")], {APPEND, DELETE}),
        ([("options", "append"), ("append", "false")], {APPEND}),
        ([("delete", "false")], ALL - {DELETE}),
        ([("options", ""), ("other", "x")], ALL),
    ],
)
def test_options_add_up_and_none_means_all(pairs: list[tuple[str, str]], options: set[RefreshOption]) -> None:
    assert read_asked(pairs).options(checksums=True) == options


def test_checksums_are_made_again_unasked_only_where_the_site_keeps_them() -> None:
    assert read_asked([]).options(checksums=False) == ALL - {CHECKSUM}
    assert read_asked([("checksum", "true")]).options(checksums=False) == {CHECKSUM}


@pytest.mark.parametrize("word", ["All", "Append", "populatestats", "x"])
def test_an_unknown_option_is_named_with_those_there_are(word: str) -> None:
    with pytest.raises(UserError, match=f"append, delete, checksum, populateStats; {word} is none"):
        read_asked([("options", f"append,{word}")])


def test_the_xapi_form_has_words_of_its_own() -> None:
    assert read_operations("All") == ALL
    assert read_operations("Append,PopulateStats") == {APPEND, STATS}
    for text in ("append", "Append, Delete", "", "Append,"):
        with pytest.raises(UserError, match="All, Append, Checksum, Delete, PopulateStats"):
            read_operations(text)


@pytest.mark.parametrize("body", [b"{", b"{}", b"[1]", b'"x"', b"[" * 100_000])
def test_the_xapi_form_takes_an_array_of_texts(body: bytes) -> None:
    with pytest.raises(UserError, match="JSON array"):
        read_array(body)
    assert [each.session for each in read_array(b'["/archive/experiments/E"]')] == ["E"]
    assert read_array(b"") == []


def test_folders_in_others_are_left_out() -> None:
    assert outermost(["SCANS/4", "SCANS/4/DICOM", "SCANS/41", "RESOURCES/A"]) == ("RESOURCES/A", "SCANS/4", "SCANS/41")
    assert outermost(["SCANS/4", ""]) == ()


def test_the_report_names_each_resource() -> None:
    lines = (
        Refreshed(folder="SCANS/4 a/DICOM", added=2, removed=1),
        Refreshed(folder="RESOURCES/NOTES", problem="p"),
    )
    found = json.loads(report([CommandResult(session_id="XNAT_E00001", refreshed=lines)]))
    assert found["refreshed"] == [
        {
            "resource": "/archive/experiments/XNAT_E00001/scans/4%20a/resources/DICOM",
            "added": 2,
            "modified": 0,
            "removed": 1,
            "problem": "",
        },
        {
            "resource": "/archive/experiments/XNAT_E00001/resources/NOTES",
            "added": 0,
            "modified": 0,
            "removed": 0,
            "problem": "p",
        },
    ]

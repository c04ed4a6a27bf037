"""What clients ask for sessions that are there, as commands (import semantics §7.2, §9.3, §9.4)."""

import pytest

from libs.common.commands import EntryFields
from libs.common.errors import UserError
from libs.common.requests import Duplicates, Overwrite
from services.gateway.command_parameters import (
    read_archiving,
    read_build,
    read_commit,
    read_listener,
    read_sources,
    read_status,
)

SRC = "/prearchive/projects/P/20240131_101530123/E1"
ADDRESS = {"project": "P", "timestamp": "20240131_101530123", "folder": "E1"}


@pytest.mark.parametrize(
    ("values", "subject", "session"),
    [
        ({}, None, None),
        ({"session": "a", "xnat:mrSessionData/label": "b", "EXPT_LABEL": "c", "label": "d"}, None, "a"),
        ({"xnat:ctSessionData/label": "b", "EXPT_LABEL": "c", "label": "d"}, None, "b"),
        ({"EXPT_LABEL": "c", "label": "d"}, None, "c"),
        ({"label": "d e"}, None, "d_e"),
        ({"subject": "a", "SUBJECT_ID": "b", "xnat:mrSessionData/subject_ID": "c"}, "a", None),
        ({"SUBJECT_ID": "b", "xnat:mrSessionData/subject_ID": "c", "subject_ID": "d"}, "b", None),
        ({"xnat:mrSessionData/subject_id": "c", "subject_ID": "d"}, "c", None),
        ({"subject_ID": "d"}, "d", None),
        ({"dest": "/data/archive/projects/P/subjects/S/experiments/E", "session": "x", "subject": "y"}, "S", "E"),
        ({"dest": "%2Farchive%2Fprojects%2FP%2Fsubjects%2FS%2E1%2Fexperiments%2FE%2E1"}, "S_1", "E_1"),
    ],
)
def test_labels_come_in_the_archivers_order(values: dict[str, str], subject: str | None, session: str | None) -> None:
    asked = read_archiving(values, Duplicates.IDENTICAL)
    assert (asked.archive.subject, asked.archive.session) == (subject, session)
    assert asked.archive.xml_paths == {}, "labels are not written into the document a second time"


def test_other_paths_of_the_document_stay() -> None:
    paths = {"xnat:mrSessionData/note": "n", "xnat:mrSessionData/scans/scan[0][@xsi:type=xnat:mrScanData]/type": "t"}
    assert read_archiving(paths, Duplicates.IDENTICAL).archive.xml_paths == paths


def test_short_names_are_paths_as_for_an_import() -> None:
    asked = read_archiving({"note": "n", "visit": "v", "protocol": "p"}, Duplicates.IDENTICAL)
    assert asked.archive.xml_paths == {
        "xnat:imageSessionData/note": "n",
        "xnat:imageSessionData/visit_id": "v",
        "xnat:imageSessionData/protocol": "p",
    }
    with pytest.raises(UserError, match="date must be YYYY-MM-DD"):
        read_archiving({"date": "today"}, Duplicates.IDENTICAL)


def test_wishes_are_those_of_an_import() -> None:
    values = {"overwrite": "override", "quarantine": "true", "tiggerPipelines": "false", "import-handler": "ignored"}
    archive = read_archiving(values, Duplicates.KEEP).archive
    assert (archive.overwrite, archive.duplicates) == (Overwrite.DELETE, Duplicates.KEEP)
    assert (archive.quarantine, archive.trigger_pipelines) == (True, False)
    with pytest.raises(UserError, match="overwrite"):
        read_archiving({"overwrite": "x"}, Duplicates.IDENTICAL)
    with pytest.raises(UserError, match="dest"):
        read_archiving({"dest": "/prearchive/projects/P"}, Duplicates.IDENTICAL)


def test_a_commit_and_a_build_say_what_their_entry_is() -> None:
    values = {"VISIT": "v", "PROTOCOL": "p", "TIMEZONE": "t", "SOURCE": "s", "AA": "true", "auto-archive": "false"}
    asked = read_archiving(values, Duplicates.IDENTICAL)
    fields = EntryFields(visit="v", protocol="p", timezone="t", source="s")
    assert (read_build(asked).fields, read_commit(asked).fields) == (fields, fields)
    assert read_commit(asked).auto_archive is True


def test_a_status_that_can_be_set() -> None:
    assert read_status({"status": "ready"}).status == "READY"
    for status in ("_BUILDING", "QUEUED_MOVING", "", "ready!"):
        with pytest.raises(UserError, match="RECEIVING, READY, CONFLICT, ERROR"):
            read_status({"status": status})


@pytest.mark.parametrize("text", [SRC, f"/data{SRC}", f"/REST{SRC}", f"{SRC}/", SRC.replace("/", "%2F")])
def test_a_source_has_many_spellings(text: str) -> None:
    assert read_sources([("src", text)]) == [ADDRESS]


def test_sources_are_repeated_or_separated_by_commas_and_counted_once() -> None:
    other = SRC.replace("E1", "a,b")
    found = read_sources([("src", f"{SRC},{other}"), ("src", SRC), ("project", "Q")])
    assert found == [ADDRESS, {**ADDRESS, "folder": "a,b"}]


def test_a_source_may_be_named_in_parts() -> None:
    pairs = [("project", "P"), ("PREARC_TIMESTAMP", ADDRESS["timestamp"]), ("PREARC_SESSION_FOLDER", "E1")]
    assert read_sources(pairs) == [ADDRESS]
    for missing in range(3):
        with pytest.raises(UserError, match="Unknown prearchive session"):
            read_sources(pairs[:missing] + pairs[missing + 1 :])


@pytest.mark.parametrize(
    "text", ["/archive/projects/P", "/prearchive/projects/P", "nothing", f"{SRC}/scans", "/../../x"]
)
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="Invalid src URI"):
        read_sources([("src", text)])


def test_a_listener_is_named_or_not_given() -> None:
    assert read_listener({}) is None
    assert read_listener({"http-session-listener": " L "}) == "L"
    for bad in ("", " ", "x" * 257, "a\nb"):
        with pytest.raises(UserError):
            read_listener({"http-session-listener": bad})

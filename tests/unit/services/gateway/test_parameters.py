"""XNAT's parameters (import semantics §1.2, §2, §7.1; architecture §6)."""

from typing import Any

import pytest

from libs.common.errors import UserError
from libs.common.importers import IMPORTERS
from libs.common.requests import (
    Area,
    Atomicity,
    Destination,
    Duplicates,
    ImportRequest,
    Naming,
    Overwrite,
    Unparsable,
)
from services.gateway.documented import OPERATION, PARAMETERS
from services.gateway.parameters import AnswerFormat, IdOf, handler_of, read_parameters
from services.gateway.sender_paths import SHORTCUTS
from services.gateway.values import is_body_the_file, merge

DESTINATIONS = {
    "none": ({}, Destination()),
    "prearchive": ({"dest": "/prearchive"}, Destination(area=Area.PREARCHIVE)),
    "prearchive-project": (
        {"dest": "/data/prearchive/projects/P"},
        Destination(area=Area.PREARCHIVE, project="P"),
    ),
    "prearchive-entry": (
        {"dest": "/prearchive/projects/P/20260101_101010123/F"},
        Destination(area=Area.PREARCHIVE, project="P", timestamp="20260101_101010123", folder="F"),
    ),
    "archive-session": (
        {"dest": "/REST/archive/projects/P/subjects/S/experiments/E"},
        Destination(area=Area.ARCHIVE, project="P", subject="S", session="E"),
    ),
    "archive-project": ({"dest": "/archive/projects/P/"}, Destination(area=Area.ARCHIVE, project="P")),
    "parameters-fill-what-dest-lacks": (
        {"dest": "/archive/projects/P", "subject": "S", "session": "E", "project": "Q"},
        Destination(area=Area.ARCHIVE, project="P", subject="S", session="E"),
    ),
    "dest-wins": (
        {"dest": "/archive/projects/P/subjects/S/experiments/E", "SUBJECT_ID": "S2", "EXPT_LABEL": "E2"},
        Destination(area=Area.ARCHIVE, project="P", subject="S", session="E"),
    ),
    "the-order-of-SI": (
        {"PROJECT_ID": "P", "project": "Q", "SUBJECT_ID": "S", "subject": "T", "EXPT_LABEL": "E", "session": "F"},
        Destination(project="P", subject="T", session="F"),
    ),
    "the-order-of-SI-below-dest": (
        {"dest": "/archive/projects/R", "PROJECT_ID": "P", "project": "Q", "SUBJECT_ID": "S", "EXPT_LABEL": "E"},
        Destination(area=Area.ARCHIVE, project="R", subject="S", session="E"),
    ),
    "xml-paths-come-last": (
        {"xnat:mrSessionData/project": "P", "xnat:mrSessionData/subject_ID": "S", "xnat:petSessionData/label": "E"},
        Destination(project="P", subject="S", session="E"),
    ),
    "xml-paths-yield": (
        {"xnat:mrSessionData/label": "E", "label": "F"},
        Destination(session="F"),
    ),
    "lower-case": (
        {"project": "Q", "subject": "T", "session": "F"},
        Destination(project="Q", subject="T", session="F"),
    ),
    "internal-names": ({"subject_ID": "T", "label": "F"}, Destination(subject="T", session="F")),
    "existing-session": ({"EXPT_ID": "XNAT_E00001"}, Destination(session="XNAT_E00001")),
    "blank-is-absent": ({"project": " ", "subject": "", "dest": " "}, Destination()),
    "labels-are-cleaned": (
        {"SUBJECT_ID": "DOE^JOHN Q.", "EXPT_LABEL": "../a/b\n"},
        Destination(subject="DOE_JOHN_Q_", session="___a_b"),
    ),
    "entry-by-parameters": (
        {"project": "P", "PREARC_TIMESTAMP": "20260101_101010123", "PREARC_SESSION_FOLDER": "F"},
        Destination(project="P", timestamp="20260101_101010123", folder="F"),
    ),
    "no-entry-in-the-archive": (
        {"dest": "/archive/projects/P", "PREARC_TIMESTAMP": "20260101_101010123"},
        Destination(area=Area.ARCHIVE, project="P"),
    ),
    "unassigned-is-no-project": ({"dest": "/prearchive/projects/unassigned"}, Destination(area=Area.PREARCHIVE)),
}


@pytest.mark.parametrize("name", list(DESTINATIONS))
def test_where_an_import_goes(name: str) -> None:
    values, expected = DESTINATIONS[name]
    assert read_parameters(values).request.destination == expected


OPTIONS = {
    "nothing": ({}, {}),
    "overwrite-none": ({"overwrite": "none"}, {"overwrite": Overwrite.NONE}),
    "overwrite-append": ({"overwrite": "Append"}, {"overwrite": Overwrite.APPEND}),
    "overwrite-delete": ({"overwrite": "delete"}, {"overwrite": Overwrite.DELETE}),
    "overwrite-override": ({"overwrite": "override"}, {"overwrite": Overwrite.DELETE}),
    "code-1-appends": ({"prearchive_code": "1"}, {"overwrite": Overwrite.APPEND}),
    "code-1-with-overwrite": ({"prearchive_code": "1", "overwrite": "delete"}, {"overwrite": Overwrite.DELETE}),
    "code-0-says-nothing": ({"prearchive_code": "0"}, {}),
    "duplicates": ({"duplicates": "keep"}, {"duplicates": Duplicates.KEEP}),
    "strict": ({"strict": "true"}, {"atomicity": Atomicity.IMPORT}),
    "not-strict": ({"strict": "false"}, {"atomicity": Atomicity.SESSION}),
    "overwrite-files": ({"overwrite_files": "TRUE"}, {"overwrite_files": True}),
    "quarantine": ({"quarantine": "true"}, {"quarantine": True}),
    "no-quarantine": ({"quarantine": "false"}, {"quarantine": False}),
    "auto-archive": ({"auto-archive": "true"}, {"auto_archive": True}),
    "auto-archive-off": ({"auto-archive": "FALSE"}, {"auto_archive": False}),
    "aa-first": ({"AA": "false", "auto-archive": "true"}, {"auto_archive": False}),
    "pipelines": ({"triggerPipelines": "true"}, {}),
    "pipelines-anything-launches": ({"triggerPipelines": "perhaps"}, {}),
    "no-pipelines": ({"triggerPipelines": "no"}, {"trigger_pipelines": False}),
    "no-pipelines-as-xnatpy-spells-it": ({"tiggerPipelines": "false"}, {"trigger_pipelines": False}),
    "words": (
        {"VISIT": "v", "PROTOCOL": "p", "TIMEZONE": "t", "SOURCE": "s"},
        {"visit": "v", "protocol": "p", "timezone": "t", "source": "s"},
    ),
    "prevented": (
        {"prevent_auto_commit": "true", "prevent_anon": "1"},
        {"prevent_auto_commit": True, "prevent_anon": True},
    ),
    "xml-paths": (
        {"xnat:mrSessionData/note": "<b>&", "xnat:nopath": "x"},
        {"xml_paths": {"xnat:mrSessionData/note": "<b>&"}},
    ),
    "handler": ({"import-handler": "SI"}, {}),
    "unpacker": ({"prearc-importer": "ECAT"}, {}),
    "unknown-names": ({"destination": "/archive", "XNAT_CSRF": "x"}, {}),
    "commit": ({"action": "Commit"}, {"commit": True, "unparsable": Unparsable.SKIP}),
    "commit-and-refuse": (
        {"action": "commit", "Ignore-Unparsable": "false"},
        {"commit": True, "unparsable": Unparsable.REFUSE},
    ),
    "another-action": ({"action": "build"}, {}),
    "unparsable-skipped": ({"Ignore-Unparsable": "true"}, {"unparsable": Unparsable.SKIP}),
    "rename": ({"rename": "true"}, {"naming": Naming.TEMPLATE}),
    "no-rename": ({"rename": "false"}, {}),
    "direct-archive": ({"Direct-Archive": "true"}, {"direct_archive": True}),
    "not-direct": ({"Direct-Archive": "false"}, {}),
    "visit-as-shortcuts": ({"visit": "v", "protocol": "p"}, {"visit": "v", "protocol": "p"}),
    "visit-id": ({"visit_id": "w", "visit": "v"}, {"visit": "w"}),
    "visit-in-capitals-first": (
        {"VISIT": "u", "visit_id": "w", "PROTOCOL": "q", "protocol": "p"},
        {"visit": "u", "protocol": "q"},
    ),
    "audit": (
        {"event_reason": "r", "event_type": "t", "event_comment": "c", "event_action": "a", "event_other": "o"},
        {"audit": {"event_reason": "r", "event_type": "t", "event_comment": "c", "event_action": "a"}},
    ),
    "shortcuts": (
        {"note": "n", "date": "2024-01-31", "pi_lastname": "Doe", "coil": "c"},
        {
            "xml_paths": {
                "xnat:imageSessionData/note": "n",
                "xnat:imageSessionData/date": "2024-01-31",
                "xnat:imageSessionData/investigator/lastname": "Doe",
                "xnat:mrSessionData/coil": "c",
            }
        },
    ),
    "a-path-beats-its-shortcut": (
        {"note": "n", "xnat:imageSessionData/note": "m"},
        {"xml_paths": {"xnat:imageSessionData/note": "m"}},
    ),
    "labels-are-no-xml-paths": (
        {"xnat:mrSessionData/label": "E"},
        {"destination": Destination(session="E")},
    ),
    "first-ecat-scan": (
        {"xnat:petSessionData/scans/scan/ID": "7"},
        {"xml_paths": {"xnat:petSessionData/scans/scan/ID": "7"}},
    ),
}


@pytest.mark.parametrize("name", list(OPTIONS))
def test_how_an_import_is_done(name: str) -> None:
    values, expected = OPTIONS[name]
    assert read_parameters(values).request == ImportRequest.model_validate(expected)


REFUSED = {
    "dest": ({"dest": "/archives/projects/P"}, "dest-malformed", "dest"),
    "dest-escapes": ({"dest": "/prearchive/projects/P/../x"}, "dest-malformed", "dest"),
    "handler": ({"import-handler": "x"}, "handler-unknown", "Unknown importer implementation specified: x"),
    "handler-case": ({"import-handler": "si"}, "handler-unknown", "implementation specified: si (there are: SI"),
    "overwrite": ({"overwrite": "perhaps"}, "parameter-invalid", "overwrite must be none, append, delete or override"),
    "duplicates": ({"duplicates": "perhaps"}, "parameter-invalid", "duplicates"),
    "strict": ({"strict": "perhaps"}, "parameter-invalid", "strict"),
    "auto-archive": ({"auto-archive": "perhaps"}, "parameter-invalid", "auto-archive"),
    "long-label": ({"EXPT_LABEL": "x" * 65}, "parameter-invalid", "EXPT_LABEL"),
    "long-label-by-its-name": ({"subject": "x" * 65}, "parameter-invalid", "subject is longer"),
    "long-word": ({"VISIT": "x" * 257}, "parameter-invalid", "VISIT"),
    "unprintable": ({"SOURCE": "a\nb"}, "parameter-invalid", "SOURCE"),
    "nul": ({"xnat:mrSessionData/note": "a\0"}, "parameter-invalid", "xnat:mrSessionData/note"),
    "folder-escapes": (
        {"project": "P", "PREARC_TIMESTAMP": "t", "PREARC_SESSION_FOLDER": "../x"},
        "parameter-invalid",
        "PREARC_SESSION_FOLDER",
    ),
    "folder-without-timestamp": ({"project": "P", "PREARC_SESSION_FOLDER": "F"}, "dest-incomplete", "timestamp"),
    "timestamp-without-project": ({"PREARC_TIMESTAMP": "20260101_101010123"}, "dest-incomplete", "project"),
    "src": ({"src": "/user/cache/a/files/b.zip"}, "src-invalid", "src uri is invalid."),
    "src-in-the-prearchive": ({"src": "/prearchive/projects/P/t/f"}, "src-invalid", "src uri is invalid."),
    "one-src-of-two": ({"src": "/user/cache/resources/a/files/b,/x"}, "src-invalid", "src uri is invalid."),
    "src-without-a-file": ({"src": "/user/cache/resources/a/files/"}, "src-invalid", "src uri is invalid."),
    "listener": (
        {"http-session-listener": " "},
        "parameter-invalid",
        "'transaction' is required when requesting 'http-session-listener'.",
    ),
    "code-1-merges-nothing": (
        {"prearchive_code": "1", "overwrite": "none"},
        "parameter-invalid",
        "Overwrite flag was not set to a valid option. ('append' or 'delete')",
    ),
    "unpacker": (
        {"prearc-importer": "x"},
        "handler-unknown",
        "Unknown prearc-importer implementation specified: x",
    ),
    "server-file": ({"localFilePath": "/etc/passwd"}, "not-found", "localFilePath"),
    "unparsable": ({"Ignore-Unparsable": "perhaps"}, "parameter-invalid", "Ignore-Unparsable must be true or false"),
    "rename": ({"rename": "perhaps"}, "parameter-invalid", "rename"),
    "direct": ({"Direct-Archive": "perhaps"}, "parameter-invalid", "Direct-Archive"),
    "quarantine": ({"quarantine": "perhaps"}, "parameter-invalid", "quarantine"),
    "long-reason": ({"event_reason": "x" * 257}, "parameter-invalid", "event_reason"),
    "date": ({"date": "31.1.2024"}, "parameter-invalid", "date must be YYYY-MM-DD"),
    "time": ({"time": "noon"}, "parameter-invalid", "time must be HH:MM:SS"),
    "date-by-its-path": (
        {"xnat:mrSessionData/date": "today"},
        "parameter-invalid",
        "xnat:mrSessionData/date must be YYYY-MM-DD",
    ),
    "time-by-its-path": (
        {"xnat:experimentData/time": "noon"},
        "parameter-invalid",
        "xnat:experimentData/time must be HH:MM:SS",
    ),
    "many-xml-paths": ({f"xnat:x/{n}": "" for n in range(201)}, "parameter-invalid", "XML paths"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_bad_parameter_is_named(name: str) -> None:
    values, code, word = REFUSED[name]
    with pytest.raises(UserError) as raised:
        read_parameters(values)
    assert raised.value.code == code
    assert word in raised.value.detail


@pytest.mark.parametrize(
    ("dest", "expected"),
    [
        ("/archive/experiments/XNAT_E00001", IdOf.SESSION),
        ("/archive/subjects/XNAT_S00001", IdOf.SUBJECT),
        ("/archive", None),
        ("/archive/projects/P/experiments/E", None),
    ],
)
def test_dest_without_a_project_means_an_id(dest: str, expected: IdOf | None) -> None:
    assert read_parameters({"dest": dest, "subject": "S", "session": "E"}).id_of is expected


def test_the_query_beats_the_form_and_the_last_of_a_name_wins() -> None:
    assert merge([("a", "form"), ("b", "form")], [("a", "1"), ("a", "2")]) == {"a": "2", "b": "form"}


def test_every_src_counts_alone_with_others_and_behind_a_comma() -> None:
    """Import semantics §11.7."""
    path = "/user/cache/resources/X/files/"
    query = [("src", f"{path}a.zip, /data{path}b/c.zip"), ("src", ""), ("src", f"/REST{path}d,e.zip")]
    values = merge([("src", f"{path}f.zip"), ("a", "b")], query)
    assert read_parameters(values).sources == ("X/f.zip", "X/a.zip", "X/b/c.zip", "X/d,e.zip")
    assert read_parameters(merge([], [("src", f"{path}a"), ("src", f"{path}a")])).sources == ("X/a",)
    assert read_parameters({"src": ""}).sources == ()


def test_the_listener_and_the_choice_of_the_archive_are_for_the_answer() -> None:
    asked = read_parameters({"http-session-listener": "up1", "prearchive_code": "1"})
    assert (asked.listener, asked.chose_archive) == ("up1", True)
    assert read_parameters({}).listener is None
    assert asked.request == ImportRequest(overwrite=Overwrite.APPEND)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/zip", "SI"),
        ("", "SI"),
        ("application/dicom; x=y", "gradual-DICOM"),
        ("application/x-mirc", "gradual-DICOM"),
        ("application/x-mirc-dicom", "gradual-DICOM"),
    ],
)
def test_the_handler_where_none_is_named(content_type: str, expected: str) -> None:
    """Import semantics §1.4."""
    assert handler_of(content_type, "SI") == (expected if expected in IMPORTERS else "SI")


def test_a_named_handler_beats_the_sites_and_the_bodys() -> None:
    assert read_parameters({"import-handler": "SI"}, handler="other").request.handler == "SI"
    with pytest.raises(UserError, match="Unknown importer implementation specified: other"):
        read_parameters({}, handler="other")


by_dicom_zip = pytest.mark.skipif("DICOM-zip" not in IMPORTERS, reason="DICOM-zip is not registered")
by_gradual = pytest.mark.skipif("gradual-DICOM" not in IMPORTERS, reason="gradual-DICOM is not registered")


@by_dicom_zip
def test_dicom_zip_puts_its_aliases_above_dest_and_dest_above_the_others() -> None:
    """Import semantics §2."""
    names = {"project": "Q", "subject": "T", "session": "F", "PROJECT_ID": "P", "SUBJECT_ID": "S", "EXPT_LABEL": "E"}
    dest = {"dest": "/archive/projects/R/subjects/U/experiments/G"}

    def read(**more: str) -> Destination:
        return read_parameters({"import-handler": "DICOM-zip", **more}).request.destination

    assert read(**names) == Destination(project="Q", subject="T", session="F")
    assert read(**names, **dest) == Destination(area=Area.ARCHIVE, project="Q", subject="T", session="F")
    upper = {name: text for name, text in names.items() if name.isupper()}
    assert read(**upper, **dest) == Destination(area=Area.ARCHIVE, project="R", subject="U", session="G")
    assert read(**upper) == Destination(project="P", subject="S", session="E")


@by_dicom_zip
@pytest.mark.parametrize(
    ("values", "is_commit", "auto_archive"),
    [
        ({}, False, None),
        ({"AA": "true"}, False, True),
        ({"action": "commit"}, True, None),
        ({"dest": "/archive", "AA": "false"}, True, True),
        ({"dest": "/prearchive/projects/P", "AA": "true"}, True, False),
    ],
)
def test_a_dest_commits_with_dicom_zip(values: dict[str, str], is_commit: bool, auto_archive: bool | None) -> None:
    """Import semantics §2; a `dest` alone skips nothing (§3.4)."""
    request = read_parameters({"import-handler": "DICOM-zip", **values}).request
    assert (request.commit, request.auto_archive) == (is_commit, auto_archive)
    assert request.unparsable is (Unparsable.SKIP if "action" in values else None)


@by_gradual
def test_gradual_dicom_reads_capitals_alone() -> None:
    """Import semantics §1.2."""
    names = {"import-handler": "gradual-DICOM", "project": "Q", "subject": "T", "session": "F"}
    assert read_parameters(names).request.destination == Destination()
    capitals = {"PROJECT_ID": "P", "SUBJECT_ID": "S", "EXPT_LABEL": "E"}
    expected = Destination(project="P", subject="S", session="E")
    assert read_parameters({**names, **capitals}).request.destination == expected
    request = read_parameters({**names, "dest": "/archive/projects/P", "AA": "false"}).request
    assert (request.commit, request.auto_archive) == (False, True)
    assert read_parameters({**names, "dest": "/prearchive/projects/P"}).request.auto_archive is None


def test_only_names_that_nobody_knows_are_ignored() -> None:
    known = dict.fromkeys((*PARAMETERS, "xnat:ctSessionData/note"), "") | {"http-session-listener": "x"}
    assert read_parameters({**known, "destination": "/archive"}).ignored == ("destination",)


def test_every_parameter_is_documented_with_an_example_that_is_accepted() -> None:
    operation: Any = OPERATION
    documented = [entry for entry in operation["parameters"] if entry["in"] == "query"]
    assert len({entry["name"] for entry in documented}) == len(documented)
    for entry in documented:
        assert entry["description"], entry["name"]
        assert entry.get("example") or entry["name"] in SHORTCUTS, entry["name"]
        values = {entry["name"]: entry.get("example", "")}
        if "FOLDER" in entry["name"] or "TIMESTAMP" in entry["name"]:
            values |= {"project": "P", "PREARC_TIMESTAMP": "20260131_101530123"}
        read_parameters(values)


def test_the_site_sets_what_duplicates_means() -> None:
    assert read_parameters({}, Duplicates.CONFLICT).request.duplicates is Duplicates.CONFLICT
    assert read_parameters({"duplicates": "keep"}, Duplicates.CONFLICT).request.duplicates is Duplicates.KEEP


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, False),
        ({"inbody": ""}, True),
        ({"inbody": "true"}, True),
        ({"inbody": "False"}, False),
        ({"inbody": "0"}, False),
    ],
)
def test_when_the_body_is_the_file(query: dict[str, str], expected: bool) -> None:
    assert is_body_the_file(query) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("txt", AnswerFormat.TEXT),
        ("HTML", AnswerFormat.HTML),
        ("json", AnswerFormat.URI_LIST),
        ("", AnswerFormat.URI_LIST),
    ],
)
def test_the_format_of_the_answer(text: str, expected: AnswerFormat) -> None:
    assert read_parameters({"format": text}).answer is expected


def test_ignored_names_are_told_without_values() -> None:
    assert read_parameters({"b": "x", "a": "y", "dest": "/archive", "xnat:a/b": "z"}).ignored == ("a", "b")

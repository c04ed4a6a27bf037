"""XNAT's parameters (import semantics §1.2, §2, §7.1; architecture §6)."""

import pytest

from libs.common.errors import UserError
from libs.common.requests import Area, Atomicity, Destination, Duplicates, ImportRequest, Overwrite
from services.gateway.parameters import AnswerFormat, IdOf, is_body_the_file, merge, read_parameters

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
    "upper-case-first": (
        {"PROJECT_ID": "P", "project": "Q", "SUBJECT_ID": "S", "subject": "T", "EXPT_LABEL": "E", "session": "F"},
        Destination(project="P", subject="S", session="E"),
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
    "unknown-names": ({"destination": "/archive", "XNAT_CSRF": "x"}, {}),
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
    "src": ({"src": "/user/cache/resources/a/files/b.zip"}, "src-unserved", "src"),
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

"""XNAT's import parameters become one typed request (pure; import semantics §1.2, §2, §7.1 and architecture §6)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from libs.common.errors import UserError
from libs.common.importers import IMPORTERS
from libs.common.names import LABEL_LENGTH, UNASSIGNED, Dest, clean_label, is_path_segment, parse_dest
from libs.common.requests import (
    Area,
    Atomicity,
    Destination,
    Duplicates,
    ImportRequest,
    Overwrite,
)

TEXT_LENGTH = 256
XML_PATH_LENGTH = 4096
XML_PATHS = 200
TRUE_WORDS = frozenset({"true", "1", "yes", "on", "y", "t"})
FALSE_WORDS = frozenset({"false", "0", "no", "off", "n", "f"})
DEFAULT_HANDLER = "SI"

DESCRIPTIONS: Mapping[str, str] = {
    "import-handler": "The importer: `SI`, which is also the default.",
    "dest": "Where the sessions go: `/archive` or `/prearchive`, then `/projects/{P}`, `/subjects/{S}`, "
    "`/experiments/{E}`, or for the prearchive `/projects/{P}/{timestamp}/{folder}`.",
    "PROJECT_ID": "Destination project, where `dest` does not name one.",
    "project": "Same as `PROJECT_ID`, which comes first.",
    "SUBJECT_ID": "Subject label or ID, where `dest` does not name one.",
    "subject": "Same as `SUBJECT_ID`, which comes first.",
    "subject_ID": "Same as `SUBJECT_ID`, which comes first.",
    "EXPT_LABEL": "Session label, where `dest` does not name one.",
    "session": "Same as `EXPT_LABEL`, which comes first.",
    "EXPT_ID": "ID or label of an archived session to join; the label of a new one if there is none.",
    "label": "Same as `EXPT_LABEL`, which comes first.",
    "PREARC_TIMESTAMP": "Timestamp part of a prearchive destination.",
    "PREARC_SESSION_FOLDER": "Folder part of a prearchive destination; needs a timestamp and a project.",
    "overwrite": "`none` (also when absent): never merge into an archived session; `append`: add what is new; "
    "`delete` or `override`: also replace what differs.",
    "overwrite_files": "`true`: replace matching files without the rest of `overwrite=delete`.",
    "duplicates": "What a file means that the session has already: `identical` (same bytes: nothing to do; other "
    "bytes: a conflict), `conflict` (any is a conflict), `keep` (what is there stays).",
    "strict": "`true`: all sessions of the upload land, or none.",
    "quarantine": "`true`: the session is put in quarantine.",
    "triggerPipelines": "`false`, `no`, `off`, `n`, `f` or `0`: no AutoRun.",
    "tiggerPipelines": "Same as `triggerPipelines`, as xnatpy spells it.",
    "AA": "`true`: archive after building.",
    "auto-archive": "Same as `AA`, which comes first.",
    "VISIT": "Visit of the session.",
    "PROTOCOL": "Protocol of the session.",
    "TIMEZONE": "Time zone of the scanner's dates.",
    "SOURCE": "What kind of client sends.",
    "prevent_auto_commit": "`true`: leave the prearchive entry to its sender.",
    "prevent_anon": "`true`: no site anonymization.",
    "prearchive_code": "`1`: the user chose the archive; `overwrite` is `append` unless given.",
    "inbody": "Query only: the body is the file, whatever its Content-Type says.",
    "format": "Of the answer: `txt`, `html`, else `text/uri-list`.",
    "src": "A file in the user's cache; not served yet.",
}
"""Every parameter that is read, in the words of the API's documentation."""


class AnswerFormat(StrEnum):
    """How a successful import is answered (§1.6)."""

    URI_LIST = "uri-list"
    TEXT = "txt"
    HTML = "html"


class IdOf(StrEnum):
    """What a `dest` without a project names by its ID."""

    SUBJECT = "subject"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Asked:
    """One import as its parameters ask for it, before the database is looked at.

    `id_of`: `dest` names this without its project, so it must be an ID.
    """

    request: ImportRequest
    answer: AnswerFormat = AnswerFormat.URI_LIST
    id_of: IdOf | None = None
    ignored: tuple[str, ...] = ()


def merge(form: Iterable[tuple[str, str]], query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value a name: the query beats the form, and the last occurrence wins (§1.1)."""
    return {**dict(form), **dict(query)}


def is_body_the_file(query: Mapping[str, str]) -> bool:
    """Whether `inbody` says so: present, and neither `false` nor `0` (§1.2)."""
    return "inbody" in query and query["inbody"].strip().lower() not in {"false", "0"}


def read_parameters(values: Mapping[str, str], duplicates: Duplicates = Duplicates.IDENTICAL) -> Asked:
    """What `values` ask for. Raises `UserError` naming the first bad parameter; unknown names are ignored."""
    for name, value in values.items():
        if "\0" in name + value:
            shown = name.replace("\0", "")[:64]
            raise UserError("parameter-invalid", f"{shown} holds a NUL character.")
    if _text(values, "src"):
        raise UserError("src-unserved", "src: files in the user cache are not served yet; send the file in the body.")
    dest = _read_dest(values)
    request = ImportRequest(
        handler=_read_handler(values),
        destination=_read_destination(values, dest),
        overwrite=_read_overwrite(values),
        overwrite_files=_flag(values, "overwrite_files"),
        duplicates=_read_duplicates(values, duplicates),
        atomicity=Atomicity.IMPORT if _flag(values, "strict") else Atomicity.SESSION,
        auto_archive=_first_choice(values, "AA", "auto-archive"),
        quarantine=_choice(values, "quarantine"),
        trigger_pipelines=_first(values, "triggerPipelines", "tiggerPipelines").lower() not in FALSE_WORDS,
        prevent_auto_commit=_flag(values, "prevent_auto_commit"),
        prevent_anon=_flag(values, "prevent_anon"),
        visit=_short(values, "VISIT"),
        protocol=_short(values, "PROTOCOL"),
        timezone=_short(values, "TIMEZONE"),
        source=_short(values, "SOURCE"),
        xml_paths=_read_xml_paths(values),
    )
    return Asked(
        request=request,
        answer=_read_answer_format(values),
        id_of=_id_of(dest),
        ignored=tuple(sorted(n for n in values if n not in DESCRIPTIONS and n not in request.xml_paths)),
    )


def _read_handler(values: Mapping[str, str]) -> str:
    name = _text(values, "import-handler") or DEFAULT_HANDLER
    if name in IMPORTERS:
        return name
    known = ", ".join(IMPORTERS)
    raise UserError("handler-unknown", f"Unknown importer implementation specified: {name[:64]} (there are: {known})")


def _read_dest(values: Mapping[str, str]) -> Dest | None:
    text = _text(values, "dest")
    if not text:
        return None
    dest = parse_dest(text)
    if dest is None:
        raise UserError(
            "dest-malformed",
            "Parameter dest format error: it must be /archive or /prearchive, with /projects/{P} and what lies below.",
        )
    return dest


def _id_of(dest: Dest | None) -> IdOf | None:
    if dest is None or dest.project is not None:
        return None
    if dest.session is not None:
        return IdOf.SESSION
    return IdOf.SUBJECT if dest.subject is not None else None


def _read_destination(values: Mapping[str, str], dest: Dest | None) -> Destination:
    """Parts of `dest` win over parameters, which fill what it lacks (§2, SI)."""
    dest = dest or Dest(area="")
    named = dest.project or _first(values, "PROJECT_ID", "project")
    timestamp = folder = None
    if dest.area != Area.ARCHIVE:
        timestamp = _segment("PREARC_TIMESTAMP", dest.timestamp or _text(values, "PREARC_TIMESTAMP"))
        folder = _segment("PREARC_SESSION_FOLDER", dest.folder or _text(values, "PREARC_SESSION_FOLDER"))
    if folder and not timestamp:
        raise UserError(
            "dest-incomplete",
            "User must specify timestamp portion of prearchive path, if session portion is specified "
            "(PREARC_TIMESTAMP, PREARC_SESSION_FOLDER).",
        )
    if timestamp and not named:
        raise UserError(
            "dest-incomplete",
            "User must specify project portion of prearchive path, if timestamp/session portion is specified.",
        )
    subjects = ("SUBJECT_ID", "subject", "subject_ID")
    sessions = ("EXPT_LABEL", "session", "EXPT_ID", "label")
    return Destination(
        area=Area(dest.area) if dest.area else None,
        project=_project(named),
        subject=_label("SUBJECT_ID", dest.subject or _first(values, *subjects)),
        session=_label("EXPT_LABEL", dest.session or _first(values, *sessions)),
        timestamp=timestamp,
        folder=folder,
    )


def _project(text: str) -> str | None:
    """A project's ID or alias; Unassigned is none, as in XNAT, so the headers may still name one (§1.7)."""
    if text.lower() == UNASSIGNED.lower():
        return None
    return text[: LABEL_LENGTH * 4] or None


def _label(name: str, text: str) -> str | None:
    """A label as XNAT cleans it at archiving (§2.3)."""
    label = clean_label(text)
    if len(label) > LABEL_LENGTH:
        raise UserError("parameter-invalid", f"{name} is longer than {LABEL_LENGTH} characters.")
    return label or None


def _segment(name: str, text: str) -> str | None:
    if text and not is_path_segment(text):
        raise UserError("parameter-invalid", f"{name} must be part of a path: no slash, no control character.")
    return text or None


def _read_overwrite(values: Mapping[str, str]) -> Overwrite:
    word = _text(values, "overwrite").lower()
    if not word:
        return Overwrite.APPEND if _text(values, "prearchive_code") == "1" else Overwrite.NONE
    if word == "override":
        return Overwrite.DELETE
    if word not in set(Overwrite):
        raise UserError("parameter-invalid", "overwrite must be none, append, delete or override.")
    return Overwrite(word)


def _read_duplicates(values: Mapping[str, str], default: Duplicates) -> Duplicates:
    word = _text(values, "duplicates").lower()
    if word and word not in set(Duplicates):
        raise UserError("parameter-invalid", "duplicates must be identical, conflict or keep.")
    return Duplicates(word) if word else default


def _read_answer_format(values: Mapping[str, str]) -> AnswerFormat:
    word = _text(values, "format").lower()
    return AnswerFormat(word) if word in set(AnswerFormat) else AnswerFormat.URI_LIST


def _read_xml_paths(values: Mapping[str, str]) -> dict[str, str]:
    paths = {name: value for name, value in values.items() if name.startswith("xnat:") and "/" in name}
    if len(paths) > XML_PATHS:
        raise UserError("parameter-invalid", f"More than {XML_PATHS} XML paths (xnat:…/…) are given: send fewer.")
    for name, value in paths.items():
        if len(name) + len(value) > XML_PATH_LENGTH:
            raise UserError("parameter-invalid", f"{name[:64]} is longer than {XML_PATH_LENGTH} characters.")
    return paths


def _text(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "").strip()


def _first(values: Mapping[str, str], *names: str) -> str:
    return next((text for name in names if (text := _text(values, name))), "")


def _short(values: Mapping[str, str], name: str) -> str:
    text = _text(values, name)
    if len(text) > TEXT_LENGTH or not text.isprintable():
        raise UserError("parameter-invalid", f"{name} must be printable, of at most {TEXT_LENGTH} characters.")
    return text


def _choice(values: Mapping[str, str], name: str) -> bool | None:
    word = _text(values, name).lower()
    if not word:
        return None
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise UserError("parameter-invalid", f"{name} must be true or false.")
    return word in TRUE_WORDS


def _first_choice(values: Mapping[str, str], *names: str) -> bool | None:
    return next((choice for name in names if (choice := _choice(values, name)) is not None), None)


def _flag(values: Mapping[str, str], name: str) -> bool:
    return _choice(values, name) or False

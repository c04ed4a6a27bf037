"""XNAT's import parameters become one typed request (pure; import semantics §1.2, §2, §7.1 and architecture §6)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from libs.common.errors import UserError
from libs.common.importers import IMPORTERS, Entries, Importer
from libs.common.importers.importer import Names
from libs.common.names import LABEL_LENGTH, UNASSIGNED, Dest, clean_label, is_path_segment, parse_dest
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
from services.gateway.documented import PARAMETERS
from services.gateway.sender_paths import destination_paths, is_path, read_paths
from services.gateway.values import FALSE_WORDS, SRC, Values, check_characters

LISTENER = "http-session-listener"
GRADUAL = "gradual-DICOM"
GRADUAL_TYPES = frozenset({"application/dicom", "application/x-mirc", "application/x-mirc-dicom"})
"""Types of a body that choose gradual-DICOM where no handler is named (§1.4)."""
SOURCES = 1000
_SOURCE = re.compile(r"(?:/data|/REST)?/user/cache/resources/([^/]+)/files/(.+)")
_AUDIT = ("event_reason", "event_type", "event_comment", "event_action")


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

    `id_of`: `dest` names this without its project, so it must be an ID. `sources` are paths in the user's cache,
    `{resource}/{path}`. `chose_archive` only words an answer (§1.5).
    """

    request: ImportRequest
    answer: AnswerFormat = AnswerFormat.URI_LIST
    id_of: IdOf | None = None
    sources: tuple[str, ...] = ()
    listener: str | None = None
    chose_archive: bool = False
    ignored: tuple[str, ...] = ()


def handler_of(content_type: str, default: str) -> str:
    """The handler where none is named: by the body's type, else the site's (§1.4)."""
    plain = content_type.split(";", maxsplit=1)[0].strip().lower()
    return GRADUAL if plain in GRADUAL_TYPES and GRADUAL in IMPORTERS else default


def read_parameters(
    by_name: Mapping[str, str], duplicates: Duplicates = Duplicates.IDENTICAL, handler: str = "SI"
) -> Asked:
    """What is asked for; `duplicates` and `handler` hold where it is not said. Unknown names are ignored.

    Raises:
        UserError: a parameter is bad; the first one is named.
    """
    check_characters(by_name)
    values = Values(by_name)
    _refuse_server_files(values)
    importer = _read_handler(values, handler)
    dest = _read_dest(values)
    area = Area(dest.area) if dest else None
    is_commit = values.text("action").lower() == "commit"
    request = ImportRequest(
        handler=importer.name,
        destination=_read_destination(values, dest, importer),
        overwrite=_read_overwrite(values),
        overwrite_files=values.flag("overwrite_files"),
        duplicates=Duplicates(values.word("duplicates", tuple(Duplicates)) or duplicates),
        atomicity=Atomicity.IMPORT if values.flag("strict") else Atomicity.SESSION,
        auto_archive=_read_auto_archive(values, area, importer),
        quarantine=values.choice("quarantine"),
        trigger_pipelines=values.first("triggerPipelines", "tiggerPipelines").lower() not in FALSE_WORDS,
        prevent_auto_commit=values.flag("prevent_auto_commit"),
        prevent_anon=values.flag("prevent_anon"),
        unparsable=_read_unparsable(values, is_commit),
        naming=Naming.TEMPLATE if values.flag("rename") else Naming.SENDER,
        commit=is_commit or (importer.dest_commits and area is not None),
        direct_archive=values.flag("Direct-Archive"),
        visit=values.short("VISIT", "visit_id", "visit"),
        protocol=values.short("PROTOCOL", "protocol"),
        timezone=values.short("TIMEZONE"),
        source=values.short("SOURCE"),
        xml_paths=read_paths(values),
        audit={name: text for name in _AUDIT if (text := values.short(name))},
    )
    return Asked(
        request=request,
        answer=_read_answer_format(values),
        id_of=_id_of(dest),
        sources=_read_sources(values),
        listener=_read_listener(values),
        chose_archive=values.text("prearchive_code") == "1",
        ignored=tuple(sorted(name for name in by_name if name not in PARAMETERS and not is_path(name))),
    )


def _refuse_server_files(values: Values) -> None:
    if values.text("localFilePath"):
        raise UserError("not-found", "localFilePath: files of the server are not read; send the file itself.")


def _read_handler(values: Values, default: str) -> Importer:
    name = values.text("import-handler") or default
    if name not in IMPORTERS:
        known = ", ".join(IMPORTERS)
        detail = f"Unknown importer implementation specified: {name[:64]} (there are: {known})"
        raise UserError("handler-unknown", detail)
    unpacker = values.text("prearc-importer")
    if unpacker not in {"", "DICOM", "ECAT"}:
        detail = f"Unknown prearc-importer implementation specified: {unpacker[:64]} (there are: DICOM, ECAT)"
        raise UserError("handler-unknown", detail)
    return IMPORTERS[name]


def _read_dest(values: Values) -> Dest | None:
    text = values.text("dest")
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


def _read_destination(values: Values, dest: Dest | None, importer: Importer) -> Destination:
    """Where the import goes by `dest` and the parameters together, in the importer's order (§1.2, §2)."""
    dest = dest or Dest(area="")
    _, project = _part(values, importer.project, dest.project, "project")
    timestamp = folder = None
    if dest.area != Area.ARCHIVE:
        timestamp = _segment("PREARC_TIMESTAMP", dest.timestamp or values.text("PREARC_TIMESTAMP"))
        folder = _segment("PREARC_SESSION_FOLDER", dest.folder or values.text("PREARC_SESSION_FOLDER"))
    if folder and not timestamp:
        raise UserError(
            "dest-incomplete",
            "User must specify timestamp portion of prearchive path, if session portion is specified "
            "(PREARC_TIMESTAMP, PREARC_SESSION_FOLDER).",
        )
    if timestamp and not project:
        raise UserError(
            "dest-incomplete",
            "User must specify project portion of prearchive path, if timestamp/session portion is specified.",
        )
    return Destination(
        area=Area(dest.area) if dest.area else None,
        project=_project(project),
        subject=_label(*_part(values, importer.subject, dest.subject, "subject_ID")),
        session=_label(*_part(values, importer.session, dest.session, "label")),
        timestamp=timestamp,
        folder=folder,
    )


def _part(values: Values, names: Names, of_dest: str | None, path: str) -> tuple[str, str]:
    """The parameter that names one part, and what it says."""
    if beating := values.first_name(names.beat):
        return beating, values.text(beating)
    if of_dest:
        return "dest", of_dest
    filling = values.first_name((*names.fill, *destination_paths(values, path)))
    return filling, values.text(filling)


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


def _read_overwrite(values: Values) -> Overwrite:
    word = values.word("overwrite", (*Overwrite, "override"))
    if values.text("prearchive_code") == "1":
        if word == Overwrite.NONE:
            text = "Overwrite flag was not set to a valid option. ('append' or 'delete')"
            raise UserError("parameter-invalid", f"{text} With prearchive_code=1 give one of them, or no overwrite.")
        word = word or Overwrite.APPEND
    return Overwrite.DELETE if word == "override" else Overwrite(word or Overwrite.NONE)


def _read_auto_archive(values: Values, area: Area | None, importer: Importer) -> bool | None:
    """Where a `dest` commits it alone decides; in the archive it says yes for an entry that is shared (§2)."""
    if area is not None and importer.dest_commits:
        return area is Area.ARCHIVE
    if area is Area.ARCHIVE and importer.entries is Entries.SHARED:
        return True
    return values.choice("AA", "auto-archive")


def _read_unparsable(values: Values, is_commit: bool) -> Unparsable | None:
    choice = values.choice("Ignore-Unparsable")
    if choice is None:
        return Unparsable.SKIP if is_commit else None
    return Unparsable.SKIP if choice else Unparsable.REFUSE


def _read_sources(values: Values) -> tuple[str, ...]:
    """Paths in the user's cache, each once; a comma divides two only where the next one begins behind it (§1.3)."""
    texts = [text.strip() for text in re.split(r",(?=\s*/)", values.text(SRC))] if values.text(SRC) else []
    found = [_SOURCE.fullmatch(text) for text in texts]
    if len(texts) > SOURCES or not all(found):
        raise UserError("src-invalid", "src uri is invalid. It must be /user/cache/resources/{X}/files/{path}.")
    return tuple(dict.fromkeys(f"{match[1]}/{match[2]}" for match in found if match))


def _read_listener(values: Values) -> str | None:
    if not values.has(LISTENER):
        return None
    name = values.short(LISTENER)
    if not name:
        detail = "'transaction' is required when requesting 'http-session-listener'."
        raise UserError("parameter-invalid", f"{detail} Give {LISTENER} a name.")
    return name


def _read_answer_format(values: Values) -> AnswerFormat:
    word = values.text("format").lower()
    return AnswerFormat(word) if word in set(AnswerFormat) else AnswerFormat.URI_LIST

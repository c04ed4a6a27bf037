"""Parameters of the archive and prearchive services become commands (pure; import semantics §7.2, §9.3, §9.4)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from libs.common.commands import Archive, Build, Commit, EntryFields, SetStatus
from libs.common.errors import UserError
from libs.common.names import parse_dest
from libs.common.requests import Area, Destination, Duplicates
from services.gateway.parameters import IdOf, read_parameters
from services.gateway.sender_paths import SHORTCUTS

STATUSES = ("RECEIVING", "READY", "CONFLICT", "ERROR")
"""What an entry can be set to: the other statuses of §7.6 say that something is going on, which nobody can set."""
LISTENER = "http-session-listener"
LISTENER_LENGTH = 256
_READ = frozenset(
    {"dest", "overwrite", "overwrite_files", "duplicates", "quarantine", "triggerPipelines", "tiggerPipelines"}
    | {"AA", "auto-archive", "VISIT", "PROTOCOL", "TIMEZONE", "SOURCE", *SHORTCUTS}
)
_SHORT = {
    "xnat:imageSessionData/visit_id": ("visit_id", "visit"),
    "xnat:imageSessionData/protocol": ("protocol",),
}
"""Short names that the archiver reads (§1.2); `VISIT` and `PROTOCOL` are of the entry, and of its row."""
_SESSION = ("session", "xnat:…/label", "EXPT_LABEL", "label")
_SUBJECT = ("subject", "SUBJECT_ID", "xnat:…/subject_ID", "subject_ID")
_LABEL_PATH = re.compile(r"xnat:\w+/(label|project|subject_id)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Archiving:
    """What is asked of an archiving, before the database is looked at; `destination` may name things by their IDs."""

    archive: Archive
    destination: Destination
    id_of: IdOf | None
    auto_archive: bool | None
    fields: EntryFields


def read_archiving(values: Mapping[str, str], duplicates: Duplicates) -> Archiving:
    """How to archive. `dest` wins over labels, which are taken in the archiver's order (§7.2 steps 3 and 5).

    Raises:
        UserError: a parameter is bad, or `dest` is not in the archive.
    """
    named = {**values, **_paths(values)}
    kept = {name: value for name, value in values.items() if name in _READ or _is_path(name)}
    short = {path: _first(values, names) for path, names in _SHORT.items()}
    kept = {**{path: text for path, text in short.items() if text}, **kept}
    kept["EXPT_LABEL"] = _first(named, _SESSION)
    kept["SUBJECT_ID"] = _first(named, _SUBJECT)
    kept["PROJECT_ID"] = _first(named, ("PROJECT_ID", "project", "xnat:…/project"))
    kept["dest"] = unquote(values.get("dest", ""))
    asked = read_parameters(kept, duplicates)
    request = asked.request
    if request.destination.area is Area.PREARCHIVE:
        raise UserError("dest-malformed", "Parameter dest format error: it must be in the archive.")
    commit = Commit.of_import(request)
    return Archiving(commit.archive, request.destination, asked.id_of, request.auto_archive, commit.fields)


def _is_path(name: str) -> bool:
    return name.startswith("xnat:") and "/" in name and not _LABEL_PATH.fullmatch(name)


def _paths(values: Mapping[str, str]) -> dict[str, str]:
    """Labels that are given as XML paths of a session, under one name each."""
    matches = ((_LABEL_PATH.fullmatch(name), value) for name, value in values.items())
    found = {match[1].lower(): value for match, value in matches if match}
    return {f"xnat:…/{name.replace('_id', '_ID')}": value for name, value in found.items()}


def _first(values: Mapping[str, str], names: Iterable[str]) -> str:
    return next((text for name in names if (text := values.get(name, "").strip())), "")


def read_commit(asked: Archiving) -> Commit:
    """A commit of an entry with these wishes."""
    return Commit(fields=asked.fields, auto_archive=asked.auto_archive, archive=asked.archive)


def read_build(asked: Archiving) -> Build:
    """A build of an entry with these wishes."""
    return Build(fields=asked.fields)


def read_status(values: Mapping[str, str]) -> SetStatus:
    """The status to set (§9.4). Raises `UserError` where it is none that can be set."""
    status = values.get("status", "").strip().upper()
    if status not in STATUSES:
        raise UserError("parameter-invalid", f"status must be one that can be set: {', '.join(STATUSES)}.")
    return SetStatus(status=status)


def read_sources(values: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """The addresses of prearchive entries that `src` names, repeated or separated by commas; each once.

    `project`, `PREARC_TIMESTAMP` and `PREARC_SESSION_FOLDER` together name one where there is no `src` (§9.3).

    Raises:
        UserError: none is named, or one is no address in the prearchive.
    """
    pairs = list(values)
    texts = [text for name, value in pairs if name == "src" for text in re.split(r",(?=/)", value) if text.strip()]
    if not texts:
        return [_source_of(dict(pairs))]
    return list({tuple(each.items()): each for each in map(_read_source, texts)}.values())


def _read_source(text: str) -> dict[str, str]:
    dest = parse_dest(unquote(text))
    if dest is None or dest.area != Area.PREARCHIVE or dest.folder is None:
        raise UserError(
            "src-malformed", f"Invalid src URI ({text[:200]}): it must be /prearchive/projects/P/timestamp/folder."
        )
    return {"project": str(dest.project), "timestamp": str(dest.timestamp), "folder": dest.folder}


def _source_of(values: Mapping[str, str]) -> dict[str, str]:
    parts = (
        _first(values, ("project", "PROJECT_ID")),
        _first(values, ("PREARC_TIMESTAMP",)),
        _first(values, ("PREARC_SESSION_FOLDER",)),
    )
    if not all(parts):
        detail = "Unknown prearchive session. Name it by src=/prearchive/projects/P/timestamp/folder."
        raise UserError("not-found", detail)
    return dict(zip(("project", "timestamp", "folder"), parts, strict=True))


def read_listener(values: Mapping[str, str]) -> str | None:
    """The id of the progress to keep, None where none is asked for. Raises `UserError` if it is empty or too long."""
    if LISTENER not in values:
        return None
    listener = values[LISTENER].strip()
    if not listener:
        raise UserError("listener-empty", f"'transaction' is required when requesting '{LISTENER}'.")
    if len(listener) > LISTENER_LENGTH or not listener.isprintable():
        raise UserError("parameter-invalid", f"{LISTENER} must be printable, of at most {LISTENER_LENGTH} characters.")
    return listener

"""Which project, subject and session a study belongs to, and what is kept of a header (import semantics §4; pure)."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from libs.common.dicom_tags import format_tag
from libs.common.names import clean_folder, clean_header_label, clean_label
from libs.common.requests import Destination
from services.router.routing import NO_ROUTING, Routing, Texts

_NOTES = ("PatientComments", "StudyComments", "AdditionalPatientHistory")
"""Where `Key: value` is looked for, in this order (§4.1)."""
_PROJECT_VALUES = ("StudyDescription", "AccessionNumber")
_NO_FOLDER = "session"
_LONGEST_LABEL = 255
"""No legal header makes a longer one (PS3.5 §6.2); what is not legal must still fit an index."""
_BOOLEANS = {"true": True, "t": True, "false": False, "f": False}
# Read from a header, but no attribute of a session or scan (§4.7): identity, notes to the importer, what one file is,
# and what is kept in another form
_NOT_KEPT = {
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientComments",
    "AdditionalPatientHistory",
    "InstanceNumber",
    "NumberOfFrames",
    "EchoNumbers",
    "ImageOrientationPatient",
}
_AXES = ("Sag", "Cor", "Tra")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a study's entry is called. `project` None is Unassigned; an empty label is for the archiver to find."""

    project: str | None
    subject_label: str
    session_label: str
    folder: str
    auto_archive: bool | None


def assign(key: str, text: str) -> str | None:
    """The value of the last `key: value` in a note, None if there is none (§4.2)."""
    match = _assignment(key).fullmatch(text)
    return match[1] or None if match else None


@lru_cache
def _assignment(key: str) -> re.Pattern[str]:
    return re.compile(rf"(?:.*[\s,;])?{re.escape(key)}\s*:\s*([\w-]*)(?:[\s,;].*)?", re.IGNORECASE)


def _assigned(key: str, texts: Texts) -> list[str]:
    notes = [texts[note] for note in _NOTES if note in texts]
    return [value for note in notes if ":" in note and (value := assign(key, note))]


def project_candidates(texts: Texts, routing: Routing = NO_ROUTING) -> list[str]:
    """What may name the project's ID or alias, best first (§4.1)."""
    fixed = _assigned("Project", texts) + [texts[keyword] for keyword in _PROJECT_VALUES if keyword in texts]
    return [*routing.candidates(texts), *fixed]


def subject_label(texts: Texts, project: str | None = None, routing: Routing = NO_ROUTING) -> str:
    """The subject's label by the header, "" if it has none (§4.1)."""
    ruled = routing.say("subjectRules", project, texts)
    return _label(ruled, *_assigned("Subject", texts), _first_value(texts.get("PatientName", "")))


def session_label(texts: Texts, project: str | None = None, routing: Routing = NO_ROUTING) -> str:
    """The session's label by the header, "" if it has none (§4.1)."""
    ruled = routing.say("sessionRules", project, texts)
    return _label(ruled, *_assigned("Session", texts), _first_value(texts.get("PatientID", "")))


def auto_archive(texts: Texts, project: str | None = None, routing: Routing = NO_ROUTING) -> bool | None:
    """What the header asks by a rule or by `AA:`, None if nothing (§4.2)."""
    values = (routing.say("aaRules", project, texts), *_assigned("AA", texts))
    asked = (_BOOLEANS.get(value.lower()) for value in values)
    return next((answer for answer in asked if answer is not None), None)


def folder(texts: Texts) -> str:
    """The prearchive folder that SI makes of the Patient ID, "" if there is none (§2.2)."""
    return clean_folder(_first_value(texts.get("PatientID", "")))[:_LONGEST_LABEL]


def _label(*values: str) -> str:
    return next((label for value in values if (label := clean_header_label(value)[:_LONGEST_LABEL])), "")


def _first_value(text: str) -> str:
    return text.split("\\", 1)[0]


def identify(
    headers: Iterable[Texts], destination: Destination, usable: Mapping[str, str], routing: Routing = NO_ROUTING
) -> Identity:
    """Name the entry of one study from its files' headers, in the order of the upload (§4.1).

    Parameters come first, then the rules of `routing`, then the fixed list. `usable` maps the project candidates that
    resolve for this user to a project's ID. Of several files, the first that says anything decides.

    Raises:
        UserError: a rule takes too long for a value.
    """
    distinct = distinct_headers(headers, routing)
    project = destination.project or _first(distinct, lambda texts: _usable_project(texts, usable, routing))
    asked = (auto_archive(texts, project, routing) for texts in distinct)
    return Identity(
        project=project,
        subject_label=clean_label(destination.subject or "")
        or _first(distinct, lambda texts: subject_label(texts, project, routing))
        or "",
        session_label=clean_label(destination.session or "")
        or _first(distinct, lambda texts: session_label(texts, project, routing))
        or "",
        folder=_first(distinct, folder) or _NO_FOLDER,
        auto_archive=next((answer for answer in asked if answer is not None), None),
    )


def _usable_project(texts: Texts, usable: Mapping[str, str], routing: Routing) -> str | None:
    candidates = project_candidates(texts, routing)
    return next((usable[candidate] for candidate in candidates if candidate in usable), None)


def _first(headers: Sequence[Texts], say: Callable[[Texts], str | None]) -> str | None:
    return next((said for texts in headers if (said := say(texts))), None)


def distinct_headers(headers: Iterable[Texts], routing: Routing) -> list[Texts]:
    """Headers that differ in what identifies, here or by a rule: the files of a study rarely do."""
    keywords = (*_NOTES, *_PROJECT_VALUES, "PatientName", "PatientID", *map(format_tag, routing.tags))
    return list({tuple(texts.get(keyword) for keyword in keywords): texts for texts in headers}.values())


def attributes(texts: Texts) -> dict[str, str]:
    """What is kept of one file's header for its session and scan (§4.7), to be folded with that of others."""
    kept = {keyword: value for keyword, value in texts.items() if keyword not in _NOT_KEPT}
    if orientation := _orientation(texts.get("ImageOrientationPatient", "")):
        kept["Orientation"] = orientation
    if echo_time := texts.get("EchoTime"):
        kept["EchoTimes"] = f"{texts.get('EchoNumbers', '1')}={echo_time}".replace(",", ".")
    return kept


@lru_cache(maxsize=1024)
def _orientation(cosines: str) -> str:
    """`Sag`, `Cor` or `Tra`: the axis nearest to the normal of Image Orientation (Patient) (PS3.3 §C.7.6.2.1.1)."""
    try:
        ax, ay, az, bx, by, bz = (float(value) for value in cosines.split("\\"))
    except ValueError:
        return ""
    normal = (abs(ay * bz - az * by), abs(az * bx - ax * bz), abs(ax * by - ay * bx))
    return _AXES[normal.index(max(normal))] if max(normal) > 0 else ""

"""What a sender sets on the session's XML: XML paths, and XNAT's short names for some (pure; import semantics §1.2)."""

import re
from collections.abc import Mapping

from libs.common.errors import UserError
from services.gateway.values import Values

LENGTH = 4096
COUNT = 200
_PATH = re.compile(r"(?:xnat|xdat|cat|prov):\w+/.+")
_DESTINATION = re.compile(r"xnat:\w+/(project|subject_ID|label)")
_MOMENT = re.compile(r"^xnat:\w+/(date|time)$")
_MOMENTS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "date": (re.compile(r"\d{4}-\d{2}-\d{2}"), "YYYY-MM-DD"),
    "time": (re.compile(r"\d{2}:\d{2}:\d{2}(\.\d{1,6})?"), "HH:MM:SS"),
}

SHORTCUTS: Mapping[str, str] = {
    "note": "xnat:imageSessionData/note",
    "date": "xnat:imageSessionData/date",
    "time": "xnat:imageSessionData/time",
    "session_type": "xnat:imageSessionData/session_type",
    "modality": "xnat:imageSessionData/modality",
    "study_id": "xnat:imageSessionData/study_id",
    "acquisition_site": "xnat:imageSessionData/acquisition_site",
    "operator": "xnat:imageSessionData/operator",
    "scanner": "xnat:imageSessionData/scanner",
    "age": "xnat:imageSessionData/age",
    "SUBTYPE": "xnat:imageSessionData/subtype",
    "coil": "xnat:mrSessionData/coil",
    "fieldStrength": "xnat:mrSessionData/fieldStrength",
    "marker": "xnat:mrSessionData/marker",
    "stabilization": "xnat:mrSessionData/stabilization",
    "pi_firstname": "xnat:imageSessionData/investigator/firstname",
    "pi_lastname": "xnat:imageSessionData/investigator/lastname",
}
"""Short name -> XML path. `UID` has none: it is the study's, by its header."""


def is_path(name: str) -> bool:
    """Whether a parameter's name is an XML path, such as `xnat:mrSessionData/note`."""
    return bool(_PATH.fullmatch(name))


def read_paths(values: Values) -> dict[str, str]:
    """XML path -> value. A short name yields to the path itself; parts of the destination are not among them."""
    paths = {path: values.text(name) for name, path in SHORTCUTS.items() if values.text(name)}
    paths |= {name: value for name, value in values.by_name.items() if is_path(name)}
    paths = {name: value for name, value in paths.items() if not _DESTINATION.fullmatch(name)}
    if len(paths) > COUNT:
        raise UserError("parameter-invalid", f"More than {COUNT} XML paths (xnat:…/…) are given: send fewer.")
    for name, value in paths.items():
        if len(name) + len(value) > LENGTH:
            raise UserError("parameter-invalid", f"{name[:64]} is longer than {LENGTH} characters.")
    for name in ("date", "time", *paths):
        _check_moment(name, values.text(name))
    return paths


def _check_moment(name: str, text: str) -> None:
    """Raise `UserError` where a session's date or time, by path or short name, is none: its XML must stay valid."""
    pattern, form = _MOMENTS.get(_MOMENT.sub(r"\1", name), (None, ""))
    if text and pattern and not pattern.fullmatch(text):
        raise UserError("parameter-invalid", f"{name} must be {form}.")


def destination_paths(values: Values, part: str) -> tuple[str, ...]:
    """The XML paths that name `part` of the destination: `project`, `subject_ID` or `label` (§7.2)."""
    return tuple(name for name in values.by_name if (match := _DESTINATION.fullmatch(name)) and match[1] == part)

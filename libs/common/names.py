"""Labels, IDs, URIs and UIDs of project, subject, session and scan, and what makes them valid (pure)."""

import re
from dataclasses import dataclass
from datetime import datetime

UNASSIGNED = "Unassigned"
"""XNAT's word for "no project" in prearchive URIs; compared without regard to case."""

_HEADER_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_LABEL_UNSAFE = re.compile(r"[ `~@#$%^&*()+=\[\]{}|\\/?:;\"',.<>\x00-\x1f\x7f]")
_FOLDER_UNSAFE = re.compile(r"\W")
_PROJECT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
LABEL_LENGTH = 64


def clean_header_label(text: str) -> str:
    """A label taken from a DICOM header: anything but ASCII letters, digits, "_" and "-" becomes "_" (XNAT Labels)."""
    return _HEADER_UNSAFE.sub("_", text.strip())


def clean_label(text: str) -> str:
    """A label given by a client, as XNAT cleans it at archiving (import semantics §2.3); control characters too."""
    return _LABEL_UNSAFE.sub("_", text.strip())


def clean_folder(text: str) -> str:
    """A prearchive folder made from a Patient ID: anything but letters, digits and "_" becomes "_" (§2.2)."""
    return _FOLDER_UNSAFE.sub("_", text.strip())


def is_project_id(text: str) -> bool:
    """Whether `text` can be a project's ID: letters, digits, "_" and "-", at most 64, not `Unassigned`."""
    return bool(_PROJECT_ID.fullmatch(text)) and text.lower() != UNASSIGNED.lower()


def is_path_segment(text: str) -> bool:
    """Whether `text` can be one segment of a prearchive path: no slash, no control character, not "." or ".."."""
    return 0 < len(text) <= 255 and text not in {".", ".."} and not re.search(r"[/\\\x00-\x1f\x7f]", text)


def prearchive_timestamp(received_at: datetime) -> str:
    """`yyyyMMdd_HHmmssSSS` of the moment an import was received (§2.2)."""
    return received_at.strftime("%Y%m%d_%H%M%S") + f"{received_at.microsecond // 1000:03d}"


def prearchive_uri(project: str | None, timestamp: str, folder: str) -> str:
    """`/prearchive/projects/{P}/{TS}/{folder}`, without `/data`."""
    return f"/prearchive/projects/{project or UNASSIGNED}/{timestamp}/{folder}"


def direct_archive_uri(project: str, study_instance_uid: str, name: str) -> str:
    """`/xapi/direct-archive/{P}/{study UID}/{name}`: a session on its way by `Direct-Archive` (§1.6)."""
    return f"/xapi/direct-archive/{project}/{study_instance_uid}/{name}"


def archive_uri(project: str, subject_label: str, session_label: str) -> str:
    """`/archive/projects/{P}/subjects/{S}/experiments/{E}` with labels, as import answers it; without `/data`."""
    return f"/archive/projects/{project}/subjects/{subject_label}/experiments/{session_label}"


def session_prefix(project: str | None, session_id: str) -> str:
    """Where a session's objects lie in the bucket: IDs only, ends in a slash (architecture §3)."""
    return f"sessions/{project or UNASSIGNED}/{session_id}/"


def catalog_name(scan_id: str | None, label: str) -> str:
    """The name of a resource's catalog: `scan_4_catalog.xml`, `scan_4_secondary_catalog.xml`, `NIFTI_catalog.xml`."""
    if scan_id is None:
        return f"{label}_catalog.xml"
    if label == "DICOM":
        return f"scan_{scan_id}_catalog.xml"
    return f"scan_{scan_id}_{label}_catalog.xml"


def resource_folder(scan_id: str | None, label: str, assessor_id: str | None = None) -> str:
    """A resource's folder in XNAT's layout: `SCANS/4/DICOM`, `RESOURCES/NOTES`, `ASSESSORS/XNAT_E00002/DATA` (§6.1).

    No slash at the end. Of an assessor's label and ID it is the ID: labels may be patient names.
    """
    if assessor_id is not None:
        return f"ASSESSORS/{assessor_id}/{label}"
    return f"RESOURCES/{label}" if scan_id is None else f"SCANS/{scan_id}/{label}"


def catalog_path(scan_id: str | None, label: str, assessor_id: str | None = None) -> str:
    """A resource's catalog below its session's prefix, in XNAT's layout."""
    return f"{resource_folder(scan_id, label, assessor_id)}/{catalog_name(scan_id, label)}"


def session_xml_key(prefix: str) -> str:
    """Where the XML of the session with this prefix lies in the bucket."""
    return f"{prefix}session.xml"


@dataclass(frozen=True, slots=True)
class Dest:
    """The parts of a `dest` (§2); None where it does not name them. `session` may be a label or an ID."""

    area: str
    project: str | None = None
    subject: str | None = None
    session: str | None = None
    timestamp: str | None = None
    folder: str | None = None


_S = r"([^/]+)"
_DESTS = (
    (re.compile(r"/prearchive"), ()),
    (re.compile(rf"/prearchive/projects/{_S}"), ("project",)),
    (re.compile(rf"/prearchive/projects/{_S}/{_S}"), ("project", "timestamp")),
    (re.compile(rf"/prearchive/projects/{_S}/{_S}/{_S}"), ("project", "timestamp", "folder")),
    (re.compile(r"/archive"), ()),
    (re.compile(rf"/archive/projects/{_S}"), ("project",)),
    (re.compile(rf"/archive/projects/{_S}/subjects/{_S}"), ("project", "subject")),
    (re.compile(rf"/archive/projects/{_S}/subjects/{_S}/experiments/{_S}"), ("project", "subject", "session")),
    (re.compile(rf"/archive/projects/{_S}/experiments/{_S}"), ("project", "session")),
    (re.compile(rf"/archive/subjects/{_S}"), ("subject",)),
    (re.compile(rf"/archive/experiments/{_S}"), ("session",)),
)


def parse_dest(text: str) -> Dest | None:
    """A destination, or None where `text` is not of a known form. A leading `/data` or `/REST` is removed."""
    path = re.sub(r"^/(data|REST)(?=/)", "", text.strip()).rstrip("/")
    for pattern, parts in _DESTS:
        match = pattern.fullmatch(path)
        if match and all(is_path_segment(value) for value in match.groups()):
            area = path.split("/")[1]
            return Dest(area=area, **dict(zip(parts, match.groups(), strict=True)))
    return None

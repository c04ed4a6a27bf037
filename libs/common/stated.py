"""What an importer itself says of scans, where no DICOM header does: ECAT files, the documents of a XAR (pure)."""

import hashlib
import re

from pydantic import BaseModel, ConfigDict

SESSION_KEY = "xar:session"
"""Stands for the series of a session's own resources in a document."""

_DERIVED = re.compile(r"(ecat|xar):.*", re.DOTALL)


def derived_key(kind: str, *parts: str) -> str:
    """A key in the place of a UID that files do not have: the same for the same parts, without what they say."""
    return f"{kind}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def uid_of(key: str) -> str:
    """The UID that a study's or series' key is; "" where the key is derived."""
    return "" if _DERIVED.fullmatch(key) else key


def assessor_key(label: str) -> str:
    """Stands for the series of an assessor's resources: its label is unique within its session."""
    return f"xar:assessor/{label}"


class StatedAssessor(BaseModel):
    """An assessor as its document states it: `document` is its XML without files, `fields` are values by XML path."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    label: str
    xsi_type: str
    document: str
    fields: dict[str, str] = {}


class StatedResource(BaseModel):
    """How a document describes one resource."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str = ""
    content: str = ""


class StatedScan(BaseModel):
    """One scan as its importer states it; stored with the series of an import. Empty: nothing is stated.

    `scan_id` is the scan's; without it scans are numbered from `first_number` on, in the order of `ordinal`, that of
    a scan's first member. `is_session`: no scan at all, but the session's own resources; `assessor`: no scan either,
    but that assessor. `adds`: the documents name a session that is there, to which they add.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    scan_id: str = ""
    first_number: int = 1
    ordinal: int = 0
    is_session: bool = False
    adds: bool = False
    assessor: StatedAssessor | None = None
    xsi_type: str = ""
    type: str = ""
    quality: str = ""
    note: str = ""
    resources: dict[str, StatedResource] = {}

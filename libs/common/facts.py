"""Facts about the members of an upload, as the workers hand them on through the database (pure)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Encoding(StrEnum):
    """How a member's bytes lie in their object."""

    PLAIN = "plain"
    """The span is the member."""
    ZIP_STORED = "zip-stored"
    """The span starts with a zip local file header (APPNOTE 4.3.7); the bytes follow it."""
    ZIP_DEFLATED = "zip-deflated"
    """As above, with a raw deflate stream (RFC 1951)."""


class Verdict(StrEnum):
    """What became of one member; every member of an ended import has exactly one."""

    STORED = "stored"
    """A file of its session now."""
    IDENTICAL = "identical"
    """The session has these bytes already."""
    KEPT = "kept"
    """The session has another file in its place, and keeps it (`duplicates=keep`)."""
    REPLACED = "replaced"
    """Stored in place of an older file (`overwrite=delete`)."""
    CONFLICT = "conflict"
    """Waits in the prearchive: it clashes with a file, scan or session that is archived."""
    WAITING = "waiting"
    """Waits in the prearchive with a session of which something else clashes."""
    SKIPPED = "skipped"
    """Not for the archive; the reason says why."""


FILTERED = "filtered: "
"""How the reason of a member begins that a series import filter leaves out."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an upload: its name there and where its bytes lie.

    `path` is the member's path in the upload, "/" between the parts, nested archives as folders.
    `offset` and `span_bytes` bound the bytes of `object_key` that hold it; `size_bytes` is its decoded size;
    `crc32` is checked after decoding where the container states one.
    """

    ordinal: int
    path: str
    object_key: str
    offset: int
    span_bytes: int
    size_bytes: int
    encoding: Encoding
    crc32: int | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """What the header of one DICOM file says about itself (PS3.3): identity and place, no PHI.

    `series_number` and `instance_number` are the elements' text, "" where absent; `resource_label` is `DICOM` for
    primary image classes, else `secondary` (import semantics §4.8).
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str
    series_number: str
    instance_number: str
    number_of_frames: int
    resource_label: str


Attributes = dict[str, str | None]
"""DICOM keyword -> the one value that every file agrees on, or None where files disagree. Text as in the file,
several values joined by a backslash. Keywords of `GATHERED` hold the distinct values instead, joined by a comma."""

GATHERED = frozenset({"StationName", "EchoTimes"})


def fold(parts: Iterable[Mapping[str, str | None]]) -> Attributes:
    """Fold attributes of files, or of earlier folds, into those that all agree on (import semantics §4.7).

    Associative and repeatable, so batches fold in any order. An absent keyword does not disagree.
    """
    folded: Attributes = {}
    for part in parts:
        for keyword, value in part.items():
            if keyword not in folded:
                folded[keyword] = value
            elif folded[keyword] != value:
                folded[keyword] = _gather(folded[keyword], value) if keyword in GATHERED else None
    return folded


def _gather(one: str | None, other: str | None) -> str:
    values = {value for text in (one, other) for value in (text or "").split(",") if value}
    return ",".join(sorted(values))

"""The facts that a merge is decided from: what an import brings to one session, and what is there (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from libs.common.dicom_classes import PetMr
from libs.common.facts import Attributes, Verdict
from libs.common.requests import Area, Duplicates, Overwrite
from libs.common.stated import StatedScan
from services.archiver.assessors import PlannedAssessor, StoredAssessor


class Place(StrEnum):
    """`sessions.place`: where a session lives, or what became of its row."""

    OPENING = "opening"
    PREARCHIVE = "prearchive"
    ARCHIVE = "archive"
    MERGED = "merged"
    DELETED = "deleted"


class Status(StrEnum):
    """XNAT's prearchive statuses (import semantics §7.6) that a merge leaves behind; ARCHIVED in the archive."""

    RECEIVING = "RECEIVING"
    READY = "READY"
    CONFLICT = "CONFLICT"
    ERROR = "ERROR"
    ARCHIVED = "ARCHIVED"


class Outcome(StrEnum):
    """What a merge made of one session of an import."""

    MERGED = "merged"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a session waits in the prearchive. Codes of conflicts (409) start with `conflict-`; others are 400."""

    code: str
    detail: str

    @property
    def outcome(self) -> Outcome:
        """XNAT's rule: cause 409 gives CONFLICT, anything else ERROR (§7.6)."""
        return Outcome.CONFLICT if self.code.startswith("conflict-") else Outcome.ERROR


@dataclass(frozen=True, slots=True)
class NewFile:
    """One staged member. `path` is its path in the upload, `object_key` where its bytes are."""

    ordinal: int
    path: str
    series_instance_uid: str
    resource_label: str
    sop_instance_uid: str
    sop_class_uid: str
    instance_number: str
    number_of_frames: int
    object_key: str
    size_bytes: int
    md5: str
    sha256: str
    name: str | None = None
    """Its path below the resource, where that is decided already; None: to be made of `path`."""


@dataclass(frozen=True, slots=True)
class Series:
    """What the files of one series in this import agree on, and what their importer states of it.

    Without a UID, here and in all that follows `series_instance_uid` is a key derived in its place (`stated.uid_of`).
    """

    series_instance_uid: str
    modalities: frozenset[str]
    sop_class_uids: frozenset[str]
    attributes: Attributes
    stated: StatedScan | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A row of `files`; `scan` is its scan's row, negative its assessor's, 0 for one of the session itself."""

    row: int
    scan: int
    resource_label: str
    name: str
    sop_instance_uid: str
    sop_class_uid: str
    sha256: str
    object_key: str


@dataclass(frozen=True, slots=True)
class StoredScan:
    """A row of `scans`."""

    row: int
    scan_id: str
    series_instance_uid: str
    xsi_type: str
    modalities: frozenset[str]
    sop_class_uids: frozenset[str]
    attributes: Attributes


@dataclass(frozen=True)
class Session:
    """A row of `sessions`: an import's own entry, or the one that it joins with the files of the series in question."""

    id: str
    place: Place
    project: str | None
    subject_id: str | None
    subject_label: str
    label: str
    timestamp: str
    folder: str
    prefix: str
    study_instance_uid: str
    xsi_type: str
    attributes: Attributes
    auto_archive: bool | None
    revision: int
    status: str = ""
    is_shared: bool = False
    is_direct: bool = False
    scans: tuple[StoredScan, ...] = ()
    files: tuple[StoredFile, ...] = ()
    assessors: tuple[StoredAssessor, ...] = ()


@dataclass(frozen=True, slots=True)
class Preferred:
    """What the site and the project prefer (`libs.common.preferences`), as far as a merge depends on it."""

    pet_mr: PetMr = PetMr.PETMR
    matches_by_uid: bool = True
    """A file meets the one of its SOP Instance UID, under whatever name; else the one of its name alone."""
    keeps_types_apart: bool = True
    """An upload of another session type does not join an archived session."""


@dataclass(frozen=True, slots=True)
class Codes:
    """A project's settings: XNAT's numbers (§7.7), and what is preferred there."""

    prearchive: int = 0
    quarantine: int = 0
    preferred: Preferred = Preferred()


@dataclass(frozen=True, slots=True)
class Subject:
    """A row of `subjects`."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Aim:
    """Where an import wants one of its sessions to go.

    In the prearchive: `timestamp` and `folder` where they are named. In the archive: `session` is the label or ID that
    the sender named, `label` that of a new session; `subject` is a label or an ID, `subject_is_named` by the sender.
    """

    area: Area
    timestamp: str | None = None
    folder: str | None = None
    session: str | None = None
    label: str = ""
    subject: str | None = None
    subject_is_named: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What may happen to what is there already (architecture §6)."""

    area: Area
    overwrite: Overwrite = Overwrite.NONE
    duplicates: Duplicates = Duplicates.IDENTICAL
    replaces_files: bool = False
    quarantines: bool = False
    preferred: Preferred = Preferred()


@dataclass(frozen=True)
class Case:
    """Everything that the merge of one session of one import depends on."""

    entry: Session
    aim: Aim
    policy: Policy
    series: tuple[Series, ...]
    files: tuple[NewFile, ...]
    target: Session | None = None
    subject: Subject | None = None

    @property
    def is_adopted(self) -> bool:
        """Whether the sender named the target itself, so that its project, subject and label hold (§2)."""
        return self.target is not None and self.aim.session in {self.target.label, self.target.id}


@dataclass(frozen=True, slots=True)
class PlannedScan:
    """A scan as it will be; `row` is None for a new one."""

    row: int | None
    scan_id: str
    series_instance_uid: str
    xsi_type: str
    modality: str
    modalities: frozenset[str]
    sop_class_uids: frozenset[str]
    attributes: Attributes
    stated: StatedScan | None = None


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file as it will be; `scan_id` may stand for an assessor; `replaces` is the row that goes."""

    file: NewFile
    scan_id: str
    name: str
    replaces: int | None = None


@dataclass(frozen=True)
class Contents:
    """Scans, files and assessors that a session gains; `session` is what a document says of its own resources."""

    scans: tuple[PlannedScan, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    session: StatedScan | None = None
    assessors: tuple[PlannedAssessor, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one member, with the reason where there is one."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Decision:
    """What is to be written for one session of an import; every one of its files has exactly one finding.

    `joins` is the session that gains the contents, None for the entry itself; `place` and `status` are the entry's.
    """

    outcome: Outcome
    place: Place
    status: Status
    findings: Mapping[int, Finding]
    contents: Contents = field(default_factory=Contents)
    joins: Session | None = None
    problem: Problem | None = None
    xsi_type: str = ""
    attributes: Attributes = field(default_factory=dict)

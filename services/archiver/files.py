"""File by file: what an upload holds twice, and how its files meet those that are there (pure; §7.4, §7.5)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from libs.common.facts import Verdict
from libs.common.requests import Area, Duplicates
from services.archiver.cases import Finding, NewFile, PlannedFile, Policy, Preferred, Problem, StoredFile
from services.archiver.filenames import file_name, free_name

Spot = tuple[str, str]
"""A scan's ID and a resource's label: where names and instances must be unique."""


class Clash(StrEnum):
    """How a file clashes with one that is there; the first one that occurs gives the answer its text (§7.5)."""

    NAME_TAKEN = "name-taken"
    MATCHING = "matching-files"
    SAME_RESOURCE = "same-resources"


_WAYS_OUT = "duplicates=keep leaves what is there, overwrite=delete replaces it in the archive."
CLASHES: Mapping[Clash, Problem] = {
    Clash.NAME_TAKEN: Problem(
        "conflict-name-taken",
        "A DICOM file with the same name but a different SOP instance UID exists and cannot be overridden. "
        "duplicates=keep stores this one under another name.",
    ),
    Clash.MATCHING: Problem("conflict-matching-files", f"Session already exists with matching files. {_WAYS_OUT}"),
    Clash.SAME_RESOURCE: Problem(
        "conflict-same-resources", f"Session already exists with the same resources. {_WAYS_OUT}"
    ),
}
PREFERRED = Preferred()
COPY = Finding(Verdict.IDENTICAL, "the upload holds these bytes twice")


@dataclass(frozen=True)
class Upload:
    """The files of an upload with their names, the copies among them (ordinal -> the first one's), and the scans that
    hold an instance twice.
    """

    files: tuple[PlannedFile, ...]
    copies: Mapping[int, int]
    doubled_scans: frozenset[str]


def settle(files: Iterable[NewFile], scan_ids: Mapping[str, str], preferred: Preferred = PREFERRED) -> Upload:
    """Name the files of an upload among themselves, in the order of their ordinals.

    Equal bytes of an instance count once; where it is not told by its SOP Instance UID, equal bytes of one name. Equal
    names get a suffix. Other bytes under one SOP Instance UID both stay.
    """
    kept: list[PlannedFile] = []
    copies: dict[int, int] = {}
    doubled: set[str] = set()
    seen: dict[tuple[Spot, str], dict[str, int]] = defaultdict(dict)
    names: dict[Spot, set[str]] = defaultdict(set)
    for file in sorted(files, key=lambda file: file.ordinal):
        scan_id = scan_ids[file.series_instance_uid]
        spot = (scan_id, file.resource_label)
        digests = seen[spot, _identity(file, preferred)]
        if file.sha256 in digests:
            copies[file.ordinal] = digests[file.sha256]
            continue
        if digests and file.sop_instance_uid and preferred.matches_by_uid:
            doubled.add(scan_id)
        digests[file.sha256] = file.ordinal
        name = free_name(file.name or file_name(file.path), names[spot])
        names[spot].add(name)
        kept.append(PlannedFile(file, scan_id, name))
    return Upload(tuple(kept), copies, frozenset(doubled))


def _identity(file: NewFile, preferred: Preferred) -> str:
    """What two files must share to be one: a SOP Instance UID; a name, after a character that no UID holds."""
    by_name = f"/{file.name or file_name(file.path)}"
    return file.sop_instance_uid or by_name if preferred.matches_by_uid else by_name


@dataclass(frozen=True)
class Comparison:
    """What an upload's files are to those of a session: what it gains, and every file's finding."""

    files: tuple[PlannedFile, ...]
    findings: Mapping[int, Finding]
    clash: Clash | None


@dataclass
class _Shelf:
    """The stored files of one spot."""

    by_name: dict[str, StoredFile] = field(default_factory=dict)
    by_uid: dict[str, list[StoredFile]] = field(default_factory=lambda: defaultdict(list))
    claimed: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    def same_bytes(self, file: NewFile, name: str, preferred: Preferred) -> StoredFile | None:
        holder = self.by_name.get(name)
        if holder is not None and holder.sha256 == file.sha256:
            return holder
        others = self.by_uid[file.sop_instance_uid] if preferred.matches_by_uid else []
        return next((one for one in others if one.sha256 == file.sha256), None)

    def same_instance(self, file: NewFile, name: str, preferred: Preferred) -> list[StoredFile]:
        """Files that are this one's earlier form: by SOP class and instance, by name where neither has a UID.

        Where a UID does not tell instances, the one of this name alone can be it.
        """
        holder = self.by_name.get(name)
        if not file.sop_instance_uid:
            return [] if holder is None or holder.sop_instance_uid else [holder]
        same = [one for one in self.by_uid[file.sop_instance_uid] if one.sop_class_uid == file.sop_class_uid]
        return same if preferred.matches_by_uid else [one for one in same if one == holder]

    def reserve(self, name: str) -> str:
        name = free_name(name, self.names)
        self.names.add(name)
        return name


@dataclass(frozen=True, slots=True)
class _Meeting:
    verdict: Verdict
    clash: Clash | None = None
    replaces: StoredFile | None = None
    name: str | None = None


def compare(upload: Upload, stored: Iterable[StoredFile], scan_ids: Mapping[int, str], policy: Policy) -> Comparison:
    """Meet each file of `upload` with `stored`; `scan_ids` are those of the stored files' scan rows.

    Files whose bytes are there claim theirs first, so that none of those is replaced by another file of the upload.
    """
    shelves = _shelves(upload, stored, scan_ids)
    meetings: dict[int, _Meeting] = {}
    for meet in (_meet_same_bytes, _meet_others):
        for planned in upload.files:
            if planned.file.ordinal not in meetings:
                shelf = shelves[planned.scan_id, planned.file.resource_label]
                meeting = meet(planned, shelf, policy)
                if meeting is not None:
                    meetings[planned.file.ordinal] = meeting
    gained = tuple(
        _planned(planned, meetings[planned.file.ordinal])
        for planned in upload.files
        if meetings[planned.file.ordinal].verdict in {Verdict.STORED, Verdict.REPLACED}
    )
    clashes = {meeting.clash for meeting in meetings.values() if meeting.clash is not None}
    findings = {ordinal: _finding(meeting) for ordinal, meeting in meetings.items()}
    findings |= copy_findings(upload, findings)
    return Comparison(gained, findings, next((one for one in Clash if one in clashes), None))


def copy_findings(upload: Upload, findings: Mapping[int, Finding]) -> dict[int, Finding]:
    """A copy is identical to what is there, unless the session keeps another file in the place of both."""
    kept = {ordinal for ordinal, finding in findings.items() if finding.verdict is Verdict.KEPT}
    return {copy: findings[first] if first in kept else COPY for copy, first in upload.copies.items()}


def _shelves(upload: Upload, stored: Iterable[StoredFile], scan_ids: Mapping[int, str]) -> dict[Spot, _Shelf]:
    shelves: dict[Spot, _Shelf] = defaultdict(_Shelf)
    for file in stored:
        shelf = shelves[scan_ids[file.scan], file.resource_label]
        shelf.by_name[file.name] = file
        shelf.names.add(file.name)
        if file.sop_instance_uid:
            shelf.by_uid[file.sop_instance_uid].append(file)
    for planned in upload.files:
        shelves[planned.scan_id, planned.file.resource_label].names.add(planned.name)
    return shelves


def _planned(planned: PlannedFile, meeting: _Meeting) -> PlannedFile:
    row = None if meeting.replaces is None else meeting.replaces.row
    return replace(planned, name=meeting.name or planned.name, replaces=row)


def _finding(meeting: _Meeting) -> Finding:
    return Finding(meeting.verdict, "" if meeting.clash is None else CLASHES[meeting.clash].detail)


def _meet_same_bytes(planned: PlannedFile, shelf: _Shelf, policy: Policy) -> _Meeting | None:
    there = shelf.same_bytes(planned.file, planned.name, policy.preferred)
    if there is None:
        return None
    if policy.duplicates is Duplicates.CONFLICT and (not policy.replaces_files or there.name != planned.name):
        return None
    shelf.claimed.add(there.row)
    return _Meeting(Verdict.IDENTICAL)


def _meet_others(planned: PlannedFile, shelf: _Shelf, policy: Policy) -> _Meeting:
    instances = shelf.same_instance(planned.file, planned.name, policy.preferred)
    holder = shelf.by_name.get(planned.name)
    if instances and policy.duplicates is Duplicates.KEEP:
        return _Meeting(Verdict.KEPT)
    if instances and not policy.replaces_files:
        return _clash(Clash.SAME_RESOURCE if holder is None else Clash.MATCHING)
    if holder is not None and holder not in instances:
        if policy.duplicates is not Duplicates.KEEP:  # a file is never replaced by another instance (A31)
            return _clash(Clash.NAME_TAKEN if policy.replaces_files else Clash.MATCHING)
        return _Meeting(Verdict.STORED, name=shelf.reserve(planned.name))
    if _is_other_class_barred(planned.file, shelf, policy):
        return _clash(Clash.SAME_RESOURCE)
    return _replace(planned, instances, shelf)


def _replace(planned: PlannedFile, instances: list[StoredFile], shelf: _Shelf) -> _Meeting:
    """Replace a row of this instance that no other file of the upload claims, that of the same name first."""
    free = [one for one in instances if one.row not in shelf.claimed]
    replaced = next((one for one in free if one.name == planned.name), free[0] if free else None)
    stays = planned.name in shelf.by_name and (replaced is None or replaced.name != planned.name)
    name = shelf.reserve(planned.name) if stays else None
    if replaced is None:
        return _Meeting(Verdict.STORED, name=name)
    shelf.claimed.add(replaced.row)
    return _Meeting(Verdict.REPLACED, replaces=replaced, name=name)


def _is_other_class_barred(file: NewFile, shelf: _Shelf, policy: Policy) -> bool:
    """XNAT's archive matches by SOP Instance UID alone (§7.5); with replacing, both classes stay (A28)."""
    if policy.area is Area.PREARCHIVE or policy.replaces_files or policy.duplicates is Duplicates.KEEP:
        return False
    return policy.preferred.matches_by_uid and bool(shelf.by_uid[file.sop_instance_uid])


def _clash(clash: Clash) -> _Meeting:
    return _Meeting(Verdict.CONFLICT, clash)

"""What a prearchive entry gains while it is received, object by object (pure; import semantics §3.3, §5)."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.facts import Verdict, fold
from libs.common.requests import Naming
from services.archiver import numbering
from services.archiver.cases import (
    Case,
    Contents,
    Decision,
    Finding,
    NewFile,
    Outcome,
    Place,
    PlannedFile,
    Session,
    Status,
)
from services.archiver.files import COPY, Spot
from services.archiver.merge import NO_FILES, joined_type, plan_scans

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
NAME_LENGTH = 200
SUPERSEDED = Finding(Verdict.SKIPPED, "a later file of the upload is the same instance, or has the same name")


def sender_name(path: str) -> str:
    """The last part of a member's path; what is not a letter, digit, "_", "." or "-" becomes "_" (§5.1)."""
    name = _UNSAFE.sub("_", path.rsplit("/", 1)[-1])[-NAME_LENGTH:]
    return name if name.strip(".") else "_"


@dataclass(frozen=True)
class Names:
    """What files are called. `NewFile.name` is the name that the site's template gives.

    `are_unique`: the template names each instance apart, so equal names are chance (its hash has 32 bits), and not
    what the site wants (§5).
    """

    naming: Naming
    are_unique: bool = True

    def candidates(self, file: NewFile) -> tuple[str, ...]:
        """The names that the file may get, best first; the last one no other instance has."""
        templated = file.name or sender_name(file.path)
        wanted = (templated,) if self.naming is Naming.TEMPLATE else (sender_name(file.path), templated)
        stem, dot, extension = templated.rpartition(".")
        return (*wanted, f"{stem or extension}-{_digest(file)}{dot}{extension if stem else ''}")


def _digest(file: NewFile) -> str:
    return hashlib.sha256(f"{file.sop_class_uid} {file.sop_instance_uid}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Held:
    """A file of one spot: one that is stored (`row`), or a new one, which may replace one."""

    name: str
    sha256: str
    instance: tuple[str, str]
    row: int | None
    new: NewFile | None = None


@dataclass
class _Shelf:
    """The files of one spot as they are when one object after the other has come."""

    by_name: dict[str, _Held] = field(default_factory=dict)
    by_instance: dict[tuple[str, str], list[_Held]] = field(default_factory=lambda: defaultdict(list))

    def put(self, held: _Held) -> None:
        self.by_name[held.name] = held
        self.by_instance[held.instance].append(held)

    def remove(self, held: _Held) -> None:
        del self.by_name[held.name]
        self.by_instance[held.instance].remove(held)

    def earlier(self, file: NewFile, name: str) -> _Held | None:
        """The form in which this instance is there, that with the same bytes or the same name first."""
        forms = self.by_instance[_instance(file)]
        return min(forms, key=lambda held: (held.sha256 != file.sha256, held.name != name), default=None)


def receive(case: Case, names: Names) -> Decision:
    """Add the files of an upload to `case.entry`, in their order, as if each came alone.

    An instance that is there (SOP class and instance) is replaced where its bytes differ. A name that another
    instance has is not taken from it, unless the site's template gives one name to several: its price (§5). Scan IDs
    are those of now; the build numbers the scans (§4.6).
    """
    entry = case.entry
    if not case.files:
        return Decision(Outcome.ERROR, Place.PREARCHIVE, Status.ERROR, {}, problem=NO_FILES)
    scan_ids = numbering.assign(case.series, entry.scans)
    shelves = _shelves(entry)
    findings: dict[int, Finding] = {}
    for file in sorted(case.files, key=lambda file: file.ordinal):
        _take(file, shelves[scan_ids[file.series_instance_uid], file.resource_label], names, findings)
    files = _planned(shelves)
    gaining = {planned.scan_id for planned in files}
    return Decision(
        Outcome.MERGED if files else Outcome.UNCHANGED,
        Place.PREARCHIVE,
        Status.RECEIVING,
        findings,
        Contents(tuple(scan for scan in plan_scans(case, entry.scans) if scan.scan_id in gaining), files),
        xsi_type=joined_type(case, entry),
        attributes=fold((entry.attributes, *(series.attributes for series in case.series))),
    )


def _shelves(entry: Session) -> dict[Spot, _Shelf]:
    shelves: dict[Spot, _Shelf] = defaultdict(_Shelf)
    scan_ids = {scan.row: scan.scan_id for scan in entry.scans}
    for one in entry.files:
        held = _Held(one.name, one.sha256, (one.sop_class_uid, one.sop_instance_uid), one.row)
        shelves[scan_ids[one.scan], one.resource_label].put(held)
    return shelves


def _planned(shelves: Mapping[Spot, _Shelf]) -> tuple[PlannedFile, ...]:
    planned = (
        PlannedFile(held.new, scan_id, held.name, held.row)
        for (scan_id, _), shelf in shelves.items()
        for held in shelf.by_name.values()
        if held.new is not None
    )
    return tuple(sorted(planned, key=lambda one: one.file.ordinal))


def _take(file: NewFile, shelf: _Shelf, names: Names, findings: dict[int, Finding]) -> None:
    earlier = shelf.earlier(file, names.candidates(file)[0])
    if earlier is not None and earlier.sha256 == file.sha256:
        findings[file.ordinal] = Finding(Verdict.IDENTICAL) if earlier.new is None else COPY
        return
    name = _choose(file, shelf, names, earlier)
    gone = earlier or shelf.by_name.get(name)
    if gone is not None:
        shelf.remove(gone)
        if gone.new is not None:
            findings[gone.new.ordinal] = SUPERSEDED
    row = None if gone is None else gone.row
    shelf.put(_Held(name, file.sha256, _instance(file), row, file))
    findings[file.ordinal] = Finding(Verdict.STORED if row is None else Verdict.REPLACED)


def _choose(file: NewFile, shelf: _Shelf, names: Names, earlier: _Held | None) -> str:
    first, *others = names.candidates(file)
    if names.naming is Naming.TEMPLATE and not names.are_unique and earlier is None:
        return first
    return next((name for name in (first, *others) if shelf.by_name.get(name) in {None, earlier}), others[-1])


def _instance(file: NewFile) -> tuple[str, str]:
    return file.sop_class_uid, file.sop_instance_uid

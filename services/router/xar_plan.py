"""Where each file of a XAR belongs, by its documents and catalogs (pure; import semantics §3.6).

The catalog in the archive decides; files beside it that no catalog lists belong to its resource too.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from libs.common.stated import SESSION_KEY, StatedResource, StatedScan, assessor_key, derived_key
from services.router.studies import Series
from services.router.xar_catalogs import Entry, read_catalog
from services.router.xar_documents import Assessor, Document, Kind, Resource, Scan
from services.router.xar_paths import below, folder_of, inside, spelled

DOCUMENT = "XNAT document: what it says is in the session"
CATALOG = "catalog: its entries are in the session's own"
UNLISTED = "no resource of the XNAT documents holds it"
LONG = "its path is longer than a file of a resource may have"
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")
_LONGEST_LABEL = 64
_LONGEST_NAME = 1024


@dataclass(frozen=True, slots=True)
class Placed:
    """Where one file belongs; `name` is its path below the resource."""

    series_key: str
    resource_label: str
    name: str
    sop_instance_uid: str = ""
    instance_number: str = ""


@dataclass(frozen=True)
class Plan:
    """The files of a XAR by path: what has a place, and why the others have none; and the scans to be."""

    places: Mapping[str, Placed]
    reasons: Mapping[str, str]
    series: Sequence[Series]


@dataclass(frozen=True, slots=True)
class _Shelf:
    """One resource: its scan's key, its label, and its catalog's path in the archive."""

    series_key: str
    label: str
    path: str

    @property
    def folder(self) -> str:
        return folder_of(self.path)

    def placed(self, path: str, entry: Entry | None = None) -> Placed:
        uid, number = (entry.sop_instance_uid, entry.instance_number) if entry else ("", "")
        return Placed(self.series_key, self.label, below(path, self.folder), uid, number)


@dataclass
class _Sorting:
    """The files of the archive, on their way to a place or a reason."""

    paths: Collection[str]
    places: dict[str, Placed] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def place(self, path: str, placed: Placed) -> None:
        if path not in self.places and path not in self.reasons:
            self.places[path] = placed


def catalog_paths(document: Document, paths: Collection[str]) -> list[str]:
    """The members that the document's resources name: catalogs, or files. Raises `UserError` where one escapes."""
    return sorted({shelf.path for shelf in _shelves(document, paths)} & set(paths))


def plan_xar(document: Document, paths: Collection[str], catalogs: Mapping[str, bytes]) -> Plan:
    """Sort the files at `paths`; `catalogs` are the bytes of those that the document names.

    Raises:
        UserError: a catalog names a file outside of the archive, or declares entities.
    """
    shelves = list(_shelves(document, paths))
    sorting = _Sorting(paths)
    sorting.reasons |= {path: _about(document) for path in document.paths}
    entries = {path: read_catalog(body) for path, body in catalogs.items() if path.endswith(".xml")}
    sorting.reasons |= {path: CATALOG for path, listed in entries.items() if listed is not None}
    for shelf in shelves:
        _place_listed(sorting, shelf, entries.get(shelf.path))
    _place_beside(sorting, shelves)
    return Plan(sorting.places, _reasons(sorting), _series(document))


def _about(document: Document) -> str:
    return f"{DOCUMENT}, except: {', '.join(document.unkept)}" if document.unkept else DOCUMENT


def _shelves(document: Document, paths: Collection[str]) -> Iterator[_Shelf]:
    keys = scan_keys(document)
    for key, resources in (
        (SESSION_KEY, document.resources),
        *((keys[scan.scan_id], scan.resources) for scan in document.scans),
        *((assessor_key(one.stated.label), one.resources) for one in document.assessors),
    ):
        for resource in resources:
            path = spelled(inside("", resource.uri), paths)
            yield _Shelf(key, resource_label(resource), path)


def scan_keys(document: Document) -> Mapping[str, str]:
    """Scan ID -> its series' key: its UID, unless another scan of the document has it too."""
    times = Counter(scan.series_instance_uid for scan in document.scans)
    return {
        scan.scan_id: scan.series_instance_uid
        if scan.series_instance_uid and times[scan.series_instance_uid] == 1
        else derived_key("xar", "scan", scan.scan_id)
        for scan in document.scans
    }


def resource_label(resource: Resource) -> str:
    """The label, as a folder can have it; that of its folder where the document gives none."""
    label = resource.label or folder_of(inside("", resource.uri)).rpartition("/")[2] or "files"
    label = _UNSAFE.sub("_", label)[:_LONGEST_LABEL]
    return "_" if label in {".", ".."} else label


def _place_listed(sorting: _Sorting, shelf: _Shelf, listed: Sequence[Entry] | None) -> None:
    if listed is None:
        if shelf.path in sorting.paths:  # no catalog: the resource is this file
            sorting.place(shelf.path, shelf.placed(shelf.path))
        return
    missing = 0
    for entry in listed:
        path = spelled(inside(shelf.folder, entry.uri), sorting.paths)
        if path in sorting.paths:
            sorting.place(path, shelf.placed(path, entry))
        else:
            missing += 1
    if missing:
        sorting.reasons[shelf.path] = f"{CATALOG}, except {missing} of {len(listed)} whose files the upload lacks"


def _place_beside(sorting: _Sorting, shelves: Sequence[_Shelf]) -> None:
    """Files that no catalog lists go to the resource of the nearest folder above them."""
    by_folder: dict[str, _Shelf] = {}
    for shelf in shelves:
        by_folder.setdefault(shelf.folder, shelf)
    for path in sorting.paths:
        folder = folder_of(path)
        while folder and folder not in by_folder:
            folder = folder_of(folder)
        if folder in by_folder:
            sorting.place(path, by_folder[folder].placed(path))


def _reasons(sorting: _Sorting) -> Mapping[str, str]:
    for path in [path for path, placed in sorting.places.items() if len(placed.name.encode()) > _LONGEST_NAME]:
        del sorting.places[path]
        sorting.reasons[path] = LONG
    left = {path: UNLISTED for path in sorting.paths if path not in sorting.places}
    return {**left, **sorting.reasons}


def _series(document: Document) -> Sequence[Series]:
    """A row for each scan and assessor of the document, with files or without, and one for the session itself."""
    keys = scan_keys(document)
    session = StatedScan(
        is_session=True,
        adds=document.kind is not Kind.SESSION,
        resources=_stated(document.resources),
    )
    own = Series(SESSION_KEY, [], [], dict(document.values.attributes), session)
    scans = [_scan_series(scan, keys[scan.scan_id], number) for number, scan in enumerate(document.scans)]
    return [own, *scans, *map(_assessor_series, document.assessors)]


def _assessor_series(assessor: Assessor) -> Series:
    stated = StatedScan(assessor=assessor.stated, resources=_stated(assessor.resources))
    return Series(assessor_key(assessor.stated.label), [], [], {}, stated)


def _scan_series(scan: Scan, key: str, number: int) -> Series:
    stated = StatedScan(
        scan_id=scan.scan_id,
        ordinal=number,
        xsi_type=scan.xsi_type,
        type=scan.type,
        quality=scan.quality,
        note=scan.note,
        resources=_stated(scan.resources),
    )
    modalities = [scan.modality] if scan.modality else []
    return Series(key, modalities, [], {**scan.values.attributes, **scan.values.paths}, stated)


def _stated(resources: Sequence[Resource]) -> dict[str, StatedResource]:
    stated: dict[str, StatedResource] = {}
    for one in resources:
        stated.setdefault(resource_label(one), StatedResource(format=one.format, content=one.content))
    return stated

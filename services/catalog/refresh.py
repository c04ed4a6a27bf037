"""What a refresh finds: rows of files compared with the objects in the bucket (import semantics §9.2; pure)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from libs.common.commands import Refreshed, RefreshOption

CATALOG_SUFFIX = "_catalog.xml"
"""Catalogs are no files of their resource: neither ours, nor others that lie beside it."""
_DEPTHS = {"SCANS": 3, "RESOURCES": 2, "ASSESSORS": 3}
"""Parts of a resource's folder, by the first of them (§6.1). Imports store elsewhere, so nothing of theirs is found."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `files`, as far as it is compared."""

    id: int
    name: str
    object_key: str
    size_bytes: int
    md5: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ByHand:
    """An object in a resource's folder; `name` is its path below it."""

    name: str
    object_key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """What a DICOM file says of itself."""

    sop_instance_uid: str
    sop_class_uid: str
    instance_number: str
    number_of_frames: int


@dataclass(frozen=True, slots=True)
class Contents:
    """An object's bytes, read once; `dicom` is None for other files."""

    size_bytes: int
    md5: str
    sha256: str
    dicom: DicomFacts | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was listed: the size of each object that a row of `known` has, and the objects in the resource's folder.

    `known` are the keys of the rows as they were before the listing: only they can be missed in it.
    """

    known: Collection[str]
    sizes: Mapping[str, int]
    by_hand: Sequence[ByHand]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: objects without a row, rows whose bytes are to be read, rows whose object is gone.

    `missing` counts gone objects whose rows stay, `clashing` objects whose name another file has.
    """

    add: Sequence[ByHand]
    check: Sequence[Row]
    remove: Sequence[Row]
    missing: int
    clashing: int

    @property
    def problem(self) -> str:
        """What is left as it is, "" if nothing."""
        told = []
        if self.missing:
            told.append(f"{self.missing} entries have no object (remove them with delete)")
        if self.clashing:
            told.append(f"{self.clashing} objects have the name of another file of the resource, which stays")
        return "; ".join(told)


@dataclass(frozen=True, slots=True)
class Settled:
    """What changes, with the bytes as they were read."""

    added: Mapping[ByHand, Contents]
    modified: Mapping[Row, Contents]
    removed: Sequence[Row]

    @property
    def is_change(self) -> bool:
        """Whether anything is other than before."""
        return bool(self.added or self.modified or self.removed)

    def line(self, folder: str, problem: str) -> Refreshed:
        """Its counts."""
        return Refreshed(
            folder=folder,
            added=len(self.added),
            modified=len(self.modified),
            removed=len(self.removed),
            problem=problem,
        )


def place_of(path: str) -> tuple[str, str] | None:
    """Folder and name of an object at `path` below its session's prefix; None where it is no resource's file.

    A key that ends in a slash is a folder that a client has drawn, not a file.
    """
    parts = path.split("/")
    depth = _DEPTHS.get(parts[0], len(parts))
    if len(parts) <= depth or not all(parts) or parts[-1].endswith(CATALOG_SUFFIX):
        return None
    return "/".join(parts[:depth]), "/".join(parts[depth:])


def compare(rows: Sequence[Row], bucket: Bucket, owned: Collection[str], options: Collection[RefreshOption]) -> Plan:
    """What a refresh with `options` does to a resource with these rows.

    `owned` are keys that any row has, of whatever resource, or that can be restored: they are not found again.
    Rows whose size is wrong are read with any options, so that no digest is one of other bytes.
    """
    gone = [row for row in rows if row.object_key in bucket.known and row.object_key not in bucket.sizes]
    remove = gone if RefreshOption.DELETE in options else []
    keys = {row.object_key for row in rows}
    names = {row.name for row in rows} - {row.name for row in remove}
    unowned = [one for one in bucket.by_hand if one.object_key not in keys and one.object_key not in owned]
    add = [one for one in unowned if one.name not in names] if RefreshOption.APPEND in options else []
    return Plan(
        add=add,
        check=[row for row in rows if _is_doubtful(row, bucket, options)],
        remove=remove,
        missing=len(gone) - len(remove),
        clashing=sum(one.name in names for one in unowned),
    )


def _is_doubtful(row: Row, bucket: Bucket, options: Collection[RefreshOption]) -> bool:
    size = bucket.sizes.get(row.object_key)
    return size is not None and (RefreshOption.CHECKSUM in options or size != row.size_bytes)


def settle(plan: Plan, contents: Mapping[str, Contents]) -> Settled:
    """What changes by `plan`, given what was read; what could not be read is left for the next refresh."""
    return Settled(
        added={one: contents[one.object_key] for one in plan.add if one.object_key in contents},
        modified={row: found for row in plan.check if (found := contents.get(row.object_key)) and _differs(row, found)},
        removed=plan.remove,
    )


def _differs(row: Row, found: Contents) -> bool:
    return (row.size_bytes, row.md5, row.sha256) != (found.size_bytes, found.md5, found.sha256)


def union(lines: Iterable[Refreshed]) -> list[Refreshed]:
    """One line a folder, in order of the folders; counts add up."""
    found: dict[str, Refreshed] = {}
    for line in lines:
        before = found.get(line.folder)
        found[line.folder] = line if before is None else _sum(before, line)
    return [found[folder] for folder in sorted(found)]


def _sum(one: Refreshed, other: Refreshed) -> Refreshed:
    return Refreshed(
        folder=one.folder,
        added=one.added + other.added,
        modified=one.modified + other.modified,
        removed=one.removed + other.removed,
        problem="; ".join(dict.fromkeys(text for text in (one.problem, other.problem) if text)),
    )

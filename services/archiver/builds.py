"""What a prearchive entry becomes when it is built, from its whole set of scans (pure; import semantics §3.4, §4.4)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from libs.common import dicom_classes
from libs.common.dicom_classes import PetMr
from libs.common.facts import Attributes, fold
from libs.common.stated import StatedScan, uid_of
from services.archiver import numbering
from services.archiver.cases import Series, Session, StoredScan
from services.archiver.filenames import free_name

PETMR_TYPE = "xnat:petmrSessionData"
PETMR = "PETMR"
ATTENUATION_MAP = "MRAC"
"""What names an MR series that only serves the PET reconstruction (§4.4 step 1)."""


@dataclass(frozen=True, slots=True)
class BuiltScan:
    """A row of `scans` as it will be."""

    row: int
    scan_id: str
    xsi_type: str
    modality: str


@dataclass(frozen=True)
class Part:
    """A session that a build makes. `word` is "" for the entry itself, PET or MR for a half of it."""

    word: str
    xsi_type: str
    attributes: Attributes
    scans: tuple[BuiltScan, ...]


def plan_build(entry: Session, pet_mr: PetMr) -> tuple[Part, ...]:
    """The entry itself; or, where `separate` splits PET and MR, its two halves."""
    series = [series_of(scan, keeps_id=not entry.is_shared) for scan in entry.scans]
    ids = numbering.assign(series, ())
    if pet_mr is not PetMr.SEPARATE or session_type(entry.scans, pet_mr) != PETMR_TYPE:
        return (_part("", entry.scans, ids, pet_mr),)
    pet = tuple(scan for scan in entry.scans if _is_of_pet(scan))
    others = tuple(scan for scan in entry.scans if not _is_of_pet(scan))
    return (_part("PET", pet, ids, PetMr.PET), _part("MR", others, ids, PetMr.PET))


def series_of(scan: StoredScan, *, keeps_id: bool) -> Series:
    """A stored scan as a series that is yet to get its scan ID: the one it has, where it keeps that or has no UID."""
    stays = keeps_id or not uid_of(scan.series_instance_uid)
    stated = StatedScan(scan_id=scan.scan_id, ordinal=scan.row) if stays else None
    return Series(scan.series_instance_uid, scan.modalities, scan.sop_class_uids, scan.attributes, stated)


def session_type(scans: Iterable[Series | StoredScan], pet_mr: PetMr) -> str:
    """The session's xsi:type (§4.4)."""
    scans = tuple(scans)
    return dicom_classes.session_type(
        {uid for scan in scans for uid in scan.sop_class_uids},
        {modality for scan in scans for modality in scan.modalities},
        [_description(scan) for scan in scans if _is_mr(scan)],
        pet_mr,
    )


def part_name(name: str, word: str, taken: Collection[str]) -> str:
    """The label or folder of a half: `PETMR` in it becomes `word`, else `word` follows; then a number (§2.3)."""
    own = name.replace(PETMR, word) if PETMR in name else f"{name}_{word}"
    return free_name(own, taken)


def _part(word: str, scans: Iterable[StoredScan], ids: Mapping[str, str], pet_mr: PetMr) -> Part:
    scans = tuple(scans)
    return Part(
        word,
        session_type(scans, pet_mr),
        fold(scan.attributes for scan in scans),
        tuple(_built(scan, ids[scan.series_instance_uid]) for scan in scans),
    )


def _built(scan: StoredScan, scan_id: str) -> BuiltScan:
    """Its type is the importer's where it has no UID, else that of its classes (§4.5)."""
    stays = not uid_of(scan.series_instance_uid)
    xsi_type = scan.xsi_type if stays else dicom_classes.scan_type(scan.sop_class_uids, scan.modalities)
    return BuiltScan(
        scan.row, scan_id, xsi_type, dicom_classes.lead_modality(scan.modalities) if scan.modalities else ""
    )


def _is_of_pet(scan: StoredScan) -> bool:
    """PET scans, and the attenuation maps that were made for them; all else goes with the MR."""
    if _is_mr(scan):
        return ATTENUATION_MAP in _description(scan)
    return scan.xsi_type == "xnat:petScanData" or scan.modalities == {"PT"}


def _is_mr(scan: Series | StoredScan) -> bool:
    return dicom_classes.scan_type(scan.sop_class_uids, scan.modalities) == "xnat:mrScanData"


def _description(scan: Series | StoredScan) -> str:
    return scan.attributes.get("SeriesDescription") or ""

"""What each folder of the test data must become, written down from its index and the rules, not by the services.

`python -m tests.expectations` writes `tests/golden/expectations/{folder}.json`; a person reads the difference.
The rules are import semantics §4.1 (labels), §4.4 (session types), §4.5 (scan types), §4.6 (scan IDs), §4.8
(resources). A member of a gzip file is `x.dcm.gz/x.dcm`, with the MD5 of what is in it.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

DATA = Path(__file__).parents[2] / "shared" / "data"
EXPECTATIONS = Path(__file__).parent / "golden" / "expectations"
WITHOUT_UIDS = {"17_ecat", "20_xar_example"}

Row = dict[str, Any]

# SOP classes of the data, by name: session and scan type
KINDS = {
    "12-lead ECG Waveform Storage": "ecg",
    "Basic Text SR Storage": "sr",
    "CT Image Storage": "ct",
    "Comprehensive 3D SR Storage": "sr",
    "Comprehensive SR Storage": "sr",
    "Computed Radiography Image Storage": "cr",
    "Digital X-Ray Image Storage - For Presentation": "dx",
    "Enhanced CT Image Storage": "ct",
    "Enhanced MR Image Storage": "mr",
    "Enhanced SR Storage": "sr",
    "Legacy Converted Enhanced CT Image Storage": "ct",
    "MR Image Storage": "mr",
    "Positron Emission Tomography Image Storage": "pet",
    "RT Dose Storage": "rt",
    "RT Ion Plan Storage": "rt",
    "RT Plan Storage": "rt",
    "RT Structure Set Storage": "rt",
    "Secondary Capture Image Storage": "sc",
    "Segmentation Storage": "seg",
    "Ultrasound Image Storage": "us",
    "VL Whole Slide Microscopy Image Storage": "sm",
}
SECONDARY = {
    "1.3.46.670589.11.0.0.12.4",
    "Comprehensive 3D SR Storage",
    "Comprehensive SR Storage",
    "Grayscale Softcopy Presentation State Storage",
    "Microscopy Bulk Simple Annotations Storage",
    "Parametric Map Storage",
    "RT Ion Plan Storage",
    "RT Plan Storage",
    "RT Structure Set Storage",
    "Real World Value Mapping Storage",
    "Secondary Capture Image Storage",
    "Segmentation Storage",
}
SESSION_LEADS = ["pet", "mr", "ct", "us", "rt", "cr", "dx", "sr", "sm", "ecg"]
SCAN_LEADS = ["pet", "mr", "ct", "us", "rt", "cr", "dx", "sr", "seg", "sc", "sm", "ecg"]
MODALITY_LEADS = ["PT", "MR", "CT", "US", "CR", "DX", "NM", "ECG", "SM", "OT", "SR", "ANN"]
OTHER = {"OT", "ANN"}

JUNK = {".DS_Store", "Thumbs.db", "desktop.ini"}
# The index has names as pydicom shows them, which drops an empty last component group (PS3.5 §6.2.1)
NAMES = {
    "14_charsets/chrX1.dcm": "Wang^XiaoDong=王^小東=",
    "14_charsets/chrX2.dcm": "Wang^XiaoDong=王^小东=",
}


def index() -> list[Row]:
    """The rows of the data's index, in the order in which a sorted zip holds the files."""
    rows: list[Row] = json.loads((DATA / "index.json").read_text())["files"]
    return sorted(rows, key=lambda row: PurePosixPath(row["path"]))


def content(row: Row) -> bytes:
    """The bytes that an import stores for a row: those inside a gzip file."""
    body = (DATA / row["path"]).read_bytes()
    return gzip.decompress(body) if is_gzip(row) else body


def is_gzip(row: Row) -> bool:
    """Whether a file of the data is a gzip file that can be unpacked."""
    body = (DATA / row["path"]).read_bytes()
    if not row["path"].endswith(".gz") or not body.startswith(b"\x1f\x8b"):
        return False
    try:
        gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return False
    return True


def has_uids(row: Row) -> bool:
    """Whether a file has what it needs to be archived."""
    return row["kind"] == "dicom" and all(row[f"{level}_uid"] for level in ("study", "series", "sop"))


def member_path(row: Row) -> str:
    """The row's path in an upload of its folder."""
    path = PurePosixPath(row["path"]).relative_to(PurePosixPath(row["path"]).parts[0])
    return f"{path}/{path.name.removesuffix('.gz')}" if is_gzip(row) else str(path)


def expect(folder: str) -> Row:
    """What an upload of one folder becomes: its sessions by study UID, and why its other files are left out."""
    rows = [row for row in index() if row["path"].startswith(f"{folder}/")]
    studies: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if has_uids(row):
            studies[row["study_uid"]].append(row)
    return {
        "folder": folder,
        "sessions": {uid: expect_session(files) for uid, files in studies.items()},
        "others": {member_path(row): reason(row) for row in rows if not has_uids(row)},
    }


def reason(row: Row) -> str:
    """The kind of reason why a file is not archived."""
    path = PurePosixPath(row["path"])
    if path.name in JUNK or "__MACOSX" in path.parts:
        return "junk"
    if row["size"] == 0:
        return "empty"
    return {"dicomdir": "dicomdir", "dicom": "no-uid"}.get(row["kind"], "not-dicom")


def expect_session(files: list[Row]) -> Row:
    """Labels, type and scans of one study."""
    series: dict[str, list[Row]] = defaultdict(list)
    for row in files:
        series[row["series_uid"]].append(row)
    ids = scan_ids(series)
    digests = {(row["sop_uid"], md5(row)) for row in files}
    times = Counter(uid for uid, _ in digests)
    return {
        "subject_label": label(NAMES.get(row["path"], row["patient_name"]) for row in files),
        "session_label": label(row["patient_id"] for row in files),
        "xsi_type": session_type(files),
        "sop_instance_uids_with_different_bytes": sorted(uid for uid in times if times[uid] > 1),
        "scans": {ids[uid]: {"series_instance_uid": uid, **expect_scan(rows)} for uid, rows in series.items()},
    }


def label(values: Iterable[str | None]) -> str:
    """§4.1 row 4 and §2.3: the first file that has a value names it."""
    return next((re.sub(r"[^A-Za-z0-9_-]", "_", value.strip()) for value in values if value and value.strip()), "")


def kinds(files: list[Row]) -> set[str]:
    """The types that the files' SOP classes speak for."""
    return {KINDS[row["sop_class"]] for row in files if row["sop_class"] in KINDS}


def session_type(files: list[Row]) -> str:
    """§4.4."""
    found = kinds(files)
    if {"pet", "mr"} <= found:
        return "xnat:petmrSessionData"
    for kind in SESSION_LEADS:
        if kind in found:
            return f"xnat:{kind}SessionData"
    modality = lead_modality(files)
    if modality not in MODALITY_LEADS or modality in OTHER:
        return "xnat:otherDicomSessionData"
    return f"xnat:{modality.lower()}SessionData"


def lead_modality(files: list[Row]) -> str:
    """§4.4 step 3, `OT` if there is none."""
    present = {row["modality"] for row in files if row["modality"]}
    return next((modality for modality in MODALITY_LEADS if modality in present), min(present, default="OT"))


def expect_scan(files: list[Row]) -> Row:
    """§4.5 and §4.8."""
    found = kinds(files)
    kind = next((kind for kind in SCAN_LEADS if kind in found), "otherDicom")
    resources: dict[str, list[Row]] = defaultdict(list)
    for row in files:
        resource = "secondary" if row["sop_class"] in SECONDARY else "DICOM"
        resources[resource].append({"path": member_path(row), "md5": md5(row)})
    return {"xsi_type": f"xnat:{'rtImage' if kind == 'rt' else kind}ScanData", "resources": dict(resources)}


def scan_ids(series: dict[str, list[Row]]) -> dict[str, str]:
    """§4.6: series UID -> scan ID. Files that disagree on the number have none (§4.7)."""
    groups: dict[str, list[str]] = defaultdict(list)
    for uid in sorted(series):
        numbers = {row["series_number"] for row in series[uid] if row["series_number"]}
        groups[numbers.pop() if len(numbers) == 1 else re.sub(r"\W", "_", uid)].append(uid)
    ids = {}
    for base, uids in groups.items():
        counts: Counter[str] = Counter()
        for uid in uids:
            modality = lead_modality(series[uid])
            counts[modality] += 1
            ids[uid] = base if len(uids) == 1 else f"{base}-{modality}{counts[modality]}"
    return ids


def md5(row: Row) -> str:
    """The MD5 of the file that is stored."""
    return hashlib.md5(content(row)).hexdigest() if is_gzip(row) else row["md5"]


def folders() -> list[str]:
    """The folders that an import service of DICOM must get right."""
    return sorted({row["path"].split("/")[0] for row in index()} - WITHOUT_UIDS)


def expect_ecat(folder: str = "17_ecat") -> Row:
    """What ECAT files become: a PET session for each patient ID, a scan for each file (§3.1 step 7, §4.8)."""
    patients: dict[str, list[Row]] = defaultdict(list)
    for row in index():
        if row["path"].startswith(f"{folder}/"):
            patients[row["patient_id"]].append(row)
    return {"folder": folder, "sessions": [expect_ecat_session(files) for files in patients.values()], "others": {}}


def expect_xar(folder: str = "20_xar_example") -> Row:
    """What the XAR becomes: the session of its document, with the files that its catalogs list (§3.6).

    Written from the document and the index: it is one small file, and reading it here with the services' rules would
    prove nothing.
    """
    top = f"{folder}/unpacked/"
    rows = {row["path"].removeprefix(top): row for row in index() if row["path"].startswith(top)}
    images = sorted(path for path in rows if path.endswith(".dcm"))
    series = "1.2.826.0.1.3680043.8.498.1725697665093567298243484772"
    resources = {
        "DICOM": {"format": "DICOM", "content": "RAW", "files": [_xar_file(path, rows[path]) for path in images]},
        "SNAPSHOTS": {
            "format": "TXT",
            "content": "NOTE",
            "files": [_xar_file("SCANS/13/SNAPSHOTS/note.txt", rows["SCANS/13/SNAPSHOTS/note.txt"])],
        },
    }
    return {
        "folder": folder,
        "session": {
            "project": "XARDEMO",
            "subject_label": "XARDEMO_S01",
            "session_label": "XARDEMO_S01_MR1",
            "study_instance_uid": "1.2.826.0.1.3680043.8.498.1725697665093567298243484718",
            "xsi_type": "xnat:mrSessionData",
            "date": "2017-12-05",
            "scans": {
                "13": {
                    "series_instance_uid": series,
                    "xsi_type": "xnat:mrScanData",
                    "type": "fMRI",
                    "quality": "usable",
                    "resources": resources,
                }
            },
        },
        "others": {path: "document" for path in rows if path.endswith(".xml")},
    }


def _xar_file(path: str, row: Row) -> Row:
    """One file of the XAR; those that are DICOM have their UID in the catalog."""
    return {"path": path, "md5": row["md5"], "sop_instance_uid": row.get("sop_uid", "")}


def expect_ecat_session(files: list[Row]) -> Row:
    """Labels, type and scans of one patient's files."""
    return {
        "subject_label": label(row["patient_name"] for row in files),
        "session_label": label(row["patient_id"] for row in files),
        "folder": re.sub(r"\W", "_", files[0]["patient_id"]) or "session",
        "xsi_type": "xnat:petSessionData",
        "scans": {
            str(number): {
                "series_instance_uid": "",
                "xsi_type": "xnat:petScanData",
                "resources": {"ECAT": [{"path": member_path(row), "md5": row["md5"]}]},
            }
            for number, row in enumerate(files, start=1)
        },
    }


def main() -> None:
    """Write every folder's expectation."""
    EXPECTATIONS.mkdir(parents=True, exist_ok=True)
    for expectation in (*map(expect, folders()), expect_ecat(), expect_xar()):
        text = json.dumps(expectation, indent=1, ensure_ascii=False)
        (EXPECTATIONS / f"{expectation['folder']}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

"""Facts of sessions, the smallest that a test can be about."""

from dataclasses import replace
from datetime import UTC, datetime

from services.catalog.catalog_xml import Catalog, Entry
from services.catalog.catalog_xml import Scan as CatalogScan
from services.catalog.scan_xml import InArchive, InPrearchive, Resource, Scan
from services.catalog.session_xml import Session

PREFIX = "sessions/P/XNAT_E00001/"
AT = datetime(2024, 1, 31, 10, 15, 33, 181_000, UTC)


def entry(number: int, **changes: object) -> Entry:
    """File `number` of a series."""
    name = f"{number:04d}.dcm"
    made = Entry(
        name=name,
        object_key=f"{PREFIX}1a2b3c4d/4_ab12cd34/{number:06d}_{name}",
        size_bytes=1000 + number,
        md5=f"{number:032x}",
        sop_instance_uid=f"1.2.3.4.1.{number}",
        instance_number=str(number),
        number_of_frames=1,
        created_by="admin",
        created_at=AT,
        revision=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def catalog(*entries: Entry, **changes: object) -> Catalog:
    """The catalog of scan 4's DICOM resource."""
    made = Catalog(
        key=f"{PREFIX}SCANS/4/DICOM/scan_4_catalog.xml",
        bucket="scandock",
        prefix=PREFIX,
        project="P",
        revision=1,
        label="DICOM",
        format="DICOM",
        content="RAW",
        scan=CatalogScan("1.2.3.4.1", {}),
        entries=entries,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def scan(scan_id: str, **changes: object) -> Scan:
    """A scan with one resource."""
    made = Scan(
        scan_id=scan_id,
        series_instance_uid=f"1.2.3.4.{len(scan_id)}",
        xsi_type="xnat:mrScanData",
        type="t1_mprage",
        quality="usable",
        note="",
        modality="MR",
        frames=176,
        attributes={"SeriesDescription": "t1_mprage"},
        resources=(Resource("DICOM", "DICOM", "RAW", 176, 6_000_000),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def session(*scans: Scan, **changes: object) -> Session:
    """An MR session in the prearchive."""
    made = Session(
        home=InPrearchive(),
        project="P",
        subject="DOE_JOHN",
        label="PAT01",
        prearchive_path="/prearchive/projects/P/20240131_101530123/PAT01",
        study_instance_uid="1.2.3.4",
        xsi_type="xnat:mrSessionData",
        attributes={},
        fields={},
        visit="",
        protocol="",
        revision=1,
        scans=scans,
        resources=(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


ARCHIVED = InArchive("XNAT_E00001", f"s3://scandock/{PREFIX}")

"""Catalogs as XNAT writes them, and as its clients read them."""

import hashlib
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from services.catalog.catalog_xml import Entry, Refreshing, audit, render_catalog
from services.catalog.catalog_xml import Scan as CatalogScan
from tests.unit.services.catalog.examples import AT, PREFIX, catalog, entry

GOLDEN = Path(__file__).parents[3] / "golden"
RENAMED = Path(__file__).parents[5] / "shared" / "data" / "08_mr_xnat_renamed_golden"
CAT = "{http://nrg.wustl.edu/catalog}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
GEOMETRY = CatalogScan(
    "1.2.3.4.1",
    {
        "Rows": "192",
        "Columns": "256",
        "PixelSpacing": "0.859375\\0.859375",
        "SliceThickness": "2.5",
        "Orientation": "Sag",
    },
)


def entries(xml: bytes) -> list[etree._Element]:
    return etree.fromstring(xml).findall(f"{CAT}entries/{CAT}entry")


def test_a_series_is_the_golden_file() -> None:
    late = AT + timedelta(days=1)
    made = render_catalog(
        catalog(
            entry(10),
            entry(
                2, object_key="sessions/P/XNAT_E00009/0a0a0a0a/4_ab12cd34/000002_0002.dcm", created_at=late, revision=3
            ),
            entry(1, name='sub/a&b "é".dcm', size_bytes=7),
            scan=GEOMETRY,
            revision=3,
        )
    )
    assert made == (GOLDEN / "catalog_scan_4.xml").read_bytes()


def test_plain_resources_are_the_golden_file() -> None:
    made = render_catalog(
        catalog(
            entry(
                1, name="t1.nii.gz", sop_instance_uid="", object_key=f"{PREFIX}SCANS/4/NIFTI/t1.nii.gz", created_by=""
            ),
            key=f"{PREFIX}SCANS/4/NIFTI/scan_4_NIFTI_catalog.xml",
            label="NIFTI",
            format="NIFTI",
            content="",
        )
    )
    assert made == (GOLDEN / "catalog_nifti.xml").read_bytes()


@pytest.mark.skipif(not RENAMED.is_dir(), reason="needs shared/data")
def test_real_files_have_the_entries_that_xnat_gave_them() -> None:
    ours = {e.get("ID"): e for e in entries(render_catalog(catalog(*map(real_entry, sorted(RENAMED.glob("*.dcm"))))))}
    theirs = {e.get("ID"): e for e in entries((RENAMED / "scan_5_catalog.xml").read_bytes())}
    assert len(ours) == 12
    for name, found in ours.items():
        for attribute in ("ID", "UID", "digest", "format", "instanceNumber", XSI_TYPE):
            assert found.get(attribute) == theirs[name].get(attribute), (name, attribute)


def real_entry(path: Path) -> Entry:
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    return entry(
        1,
        name=path.name,
        md5=hashlib.md5(path.read_bytes()).hexdigest(),
        sop_instance_uid=str(ds.SOPInstanceUID),
        instance_number=str(ds.InstanceNumber),
    )


def test_attributes_stand_in_xnats_order() -> None:
    xml = render_catalog(catalog(entry(1))).decode()
    names = re.findall(r"([\w:]+)=", xml[xml.index("<cat:entry ") : xml.index("><cat:metaFields><")])
    assert names[-1] == "xsi:type"
    assert names[:-1] == sorted(names[:-1])


def test_entries_are_sorted_by_number_then_path() -> None:
    files = (entry(10), entry(9), entry(1, instance_number="x"), entry(3, instance_number="9"), entry(2))
    names = [e.get("ID") for e in entries(render_catalog(catalog(*files)))]
    assert names == ["0002.dcm", "0003.dcm", "0009.dcm", "0010.dcm", "0001.dcm"]


@pytest.mark.parametrize("number", ["", "x", "1.5", "1\\2"])
def test_only_integers_are_instance_numbers(number: str) -> None:
    assert entries(render_catalog(catalog(entry(1, instance_number=number))))[0].get("instanceNumber") is None


def test_secondary_files_have_uids_but_no_instance_numbers() -> None:
    made = render_catalog(catalog(entry(1), label="secondary", content="secondary"))
    assert etree.fromstring(made).tag == f"{CAT}DCMCatalog"
    (found,) = entries(made)
    assert found.get("UID") == "1.2.3.4.1.1"
    assert found.get("instanceNumber") is None


def test_uris_lead_from_the_catalog_to_the_object() -> None:
    elsewhere = "sessions/P/XNAT_E00002/1a2b3c4d/4_ab12cd34/000001_1.dcm"
    beside = f"{PREFIX}SCANS/4/DICOM/by hand.dcm"
    made = catalog(entry(1), entry(2, object_key=elsewhere), entry(3, object_key=beside))
    uris = [e.get("URI") for e in entries(render_catalog(made))]
    assert uris == ["../../../1a2b3c4d/4_ab12cd34/000001_0001.dcm", f"s3://scandock/{elsewhere}", "by hand.dcm"]


def test_resources_of_a_session_are_two_directories_deep() -> None:
    made = catalog(entry(1), key=f"{PREFIX}RESOURCES/NOTES/NOTES_catalog.xml", label="NOTES", scan=None)
    assert entries(render_catalog(made))[0].get("URI") == "../../1a2b3c4d/4_ab12cd34/000001_0001.dcm"
    assert etree.fromstring(render_catalog(made)).get("ID") == "NOTES"


def test_audit_has_the_newest_first() -> None:
    later = datetime(2024, 2, 1, tzinfo=UTC)
    files = [entry(1), entry(2), entry(3, revision=12, created_at=later)]
    assert audit(files) == "12:Thu Feb 01 00:00:00 UTC 2024=Added:1|1:Wed Jan 31 10:15:33 UTC 2024=Added:2"


def test_audit_tells_what_a_refresh_did_not_what_is_left_of_it() -> None:
    later = datetime(2024, 2, 1, tzinfo=UTC)
    files = [entry(1), entry(3, revision=12, created_at=later)]
    refreshed = [Refreshing(12, later, 5, 0, 2), Refreshing(13, later, 0, 1, 0), Refreshing(14, later, 0, 0, 0)]
    assert [event.split("=")[1] for event in audit(files, refreshed).split("|")] == [
        "Modified:1",
        "Added:5,Removed:2",
        "Added:1",
    ]


def test_xnats_clients_read_it() -> None:
    """As pyxnat and xnatpy do: the first line as text, namespaced look-ups, sizes and digests by attribute."""
    xml = render_catalog(catalog(entry(1), entry(2), scan=GEOMETRY))
    assert xml.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<cat:DCMCatalog')
    root = ElementTree.fromstring(xml)
    namespaces = {"cat": "http://nrg.wustl.edu/catalog"}
    found = root.findall(".//cat:entries/cat:entry", namespaces)
    assert [f.attrib["URI"].rpartition("_")[2] for f in found] == ["0001.dcm", "0002.dcm"]
    assert [f.attrib["digest"] for f in found] == [f"{1:032x}", f"{2:032x}"]
    assert root.attrib["UID"] == "1.2.3.4.1"
    assert [child.tag.rpartition("}")[2] for child in root] == [
        *("metaFields", "entries", "dimensions", "voxelRes", "orientation")
    ]


names_of_files = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(names_of_files, max_size=5, unique=True), names_of_files)
def test_any_names_make_well_formed_xml(file_names: list[str], login: str) -> None:
    made = render_catalog(catalog(*(entry(n, name=name, created_by=login) for n, name in enumerate(file_names))))
    assert len(entries(made)) == len(file_names)


def test_an_empty_resource_has_no_entries() -> None:
    assert entries(render_catalog(catalog())) == []


def test_the_catalog_of_20000_files_is_rendered_in_half_a_second() -> None:
    large = catalog(*(entry(n) for n in range(20_000)))
    started = time.process_time()
    assert render_catalog(large).count(b"<cat:entry ") == 20_000
    assert time.process_time() - started < 0.5

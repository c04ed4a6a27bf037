"""Where the files of a XAR belong: the catalogs decide, and nothing leaves the archive."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import UserError
from libs.common.stated import SESSION_KEY, uid_of
from services.router.xar_catalogs import read_catalog
from services.router.xar_paths import inside, single_top
from services.router.xar_plan import CATALOG, DOCUMENT, UNLISTED, catalog_paths, plan_xar
from tests.unit.services.router.test_xar_documents import read, session

CATALOG_PATH = "SCANS/1/DICOM/scan_1_catalog.xml"


def catalog(*entries):
    lines = "".join(f"<cat:entry {entry}/>" for entry in entries)
    return f'<cat:Catalog xmlns:cat="http://nrg.wustl.edu/catalog"><cat:entries>{lines}</cat:entries></cat:Catalog>'.encode()


def document(uri=CATALOG_PATH, label='label="DICOM"', resources="", uid='UID="1.2.3"'):
    return read(
        session(
            f"<xnat:resources>{resources}</xnat:resources>"
            f'<xnat:scans><xnat:scan ID="1" {uid} xsi:type="xnat:mrScanData">'
            f'<xnat:file URI="{uri}" {label} format="DICOM" content="RAW" xsi:type="xnat:resourceCatalog"/>'
            "</xnat:scan></xnat:scans>"
        )
    )


def sort(files, doc=None):
    doc = doc or document()
    paths = {"0.xml": b"", **files}
    named = catalog_paths(doc, paths)
    return plan_xar(doc, paths.keys(), {path: paths[path] for path in named})


def test_a_catalogs_entries_have_their_uids_and_numbers():
    plan = sort({CATALOG_PATH: catalog('URI="1.dcm" UID="1.2.3.4" instanceNumber="7"'), "SCANS/1/DICOM/1.dcm": b""})
    placed = plan.places["SCANS/1/DICOM/1.dcm"]
    assert (placed.series_key, placed.resource_label, placed.name) == ("1.2.3", "DICOM", "1.dcm")
    assert (placed.sop_instance_uid, placed.instance_number) == ("1.2.3.4", "7")
    assert plan.reasons == {CATALOG_PATH: CATALOG, "0.xml": DOCUMENT}


def test_files_beside_a_catalog_belong_to_it_and_others_are_reported():
    plan = sort({CATALOG_PATH: catalog(), "SCANS/1/DICOM/a/b.txt": b"", "elsewhere.txt": b"", "SCANS/2/x": b""})
    assert plan.places["SCANS/1/DICOM/a/b.txt"].name == "a/b.txt"
    assert (plan.reasons["elsewhere.txt"], plan.reasons["SCANS/2/x"]) == (UNLISTED, UNLISTED)


def test_a_catalog_that_is_not_there_still_names_its_folder():
    assert sort({"SCANS/1/DICOM/1.dcm": b""}).places["SCANS/1/DICOM/1.dcm"].resource_label == "DICOM"


def test_a_resource_may_be_one_file():
    doc = document(uri="report.pdf", label='label="REPORT"')
    assert sort({"report.pdf": b"%PDF"}, doc).places["report.pdf"].resource_label == "REPORT"


def test_entries_whose_files_are_missing_are_counted():
    plan = sort({CATALOG_PATH: catalog('URI="1.dcm"', 'URI="2.dcm"'), "SCANS/1/DICOM/1.dcm": b""})
    assert "except 1 of 2" in plan.reasons[CATALOG_PATH]


def test_a_sessions_own_resource_has_no_scan():
    resources = '<xnat:resource URI="RESOURCES/N/n_catalog.xml" label="NOTES" xsi:type="xnat:resourceCatalog"/>'
    plan = sort({"RESOURCES/N/n.txt": b""}, document(resources=resources))
    assert plan.places["RESOURCES/N/n.txt"].series_key == SESSION_KEY
    assert [one.stated.is_session for one in plan.series] == [True, False]


def test_a_scan_without_a_uid_has_a_key_by_its_id():
    plan = sort({"SCANS/1/DICOM/1.dcm": b""}, document(uid=""))
    assert uid_of(plan.places["SCANS/1/DICOM/1.dcm"].series_key) == ""


def test_a_label_is_never_a_path():
    doc = document(label='label="../../x"')
    assert sort({"SCANS/1/DICOM/1.dcm": b""}, doc).places["SCANS/1/DICOM/1.dcm"].resource_label == ".._.._x"


def test_percent_signs_are_decoded_where_the_archive_has_it_so():
    plan = sort({CATALOG_PATH: catalog('URI="a%20b.dcm" UID="1.2"'), "SCANS/1/DICOM/a b.dcm": b""})
    assert plan.places["SCANS/1/DICOM/a b.dcm"].sop_instance_uid == "1.2"


ESCAPES = [
    "../x",
    "a/../../x",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://h/x",
    "C:/x",
    "..\\x",
    "%2e%2e/x",
    "\\\\h\\x",
]


@pytest.mark.parametrize("uri", ESCAPES)
def test_resources_outside_of_the_archive_are_refused(uri):
    with pytest.raises(UserError, match="stay inside"):
        sort({}, document(uri=uri))


@pytest.mark.parametrize("uri", [*("../../../" + uri for uri in ESCAPES[:2]), *ESCAPES[2:6]])
def test_entries_outside_of_the_archive_are_refused(uri):
    with pytest.raises(UserError, match="stay inside"):
        sort({CATALOG_PATH: catalog(f'URI="{uri}"')})


def test_an_entry_may_lie_elsewhere_in_the_archive():
    plan = sort({CATALOG_PATH: catalog('URI="../../../other/1.dcm"'), "other/1.dcm": b""})
    assert plan.places["other/1.dcm"].name == "other/1.dcm"


@given(st.text(max_size=40))
def test_no_uri_leads_out(uri):
    try:
        path = inside("SCANS/1", uri)
    except UserError:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")


@given(st.binary(max_size=300))
def test_no_bytes_make_a_catalog_fail(body):
    with contextlib.suppress(UserError):
        read_catalog(body)
        read_catalog(catalog()[:60] + body)


@pytest.mark.parametrize(
    ("paths", "top"),
    [(["a/s.xml", "a/b/c"], "a/"), (["s.xml", "a/b"], ""), (["a/s.xml", "b/c"], ""), ([], "")],
)
def test_a_single_top_folder_is_unwrapped(paths, top):
    assert single_top(paths) == top

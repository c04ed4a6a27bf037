"""Session XML as XNAT builds and shows it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from services.catalog.scan_xml import Resource, natural
from services.catalog.session_xml import Session, render_session
from services.catalog.xml_text import legal
from tests.unit.services.catalog.examples import ARCHIVED, scan, session

GOLDEN = Path(__file__).parents[3] / "golden"
XNAT = "{http://nrg.wustl.edu/xnat}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

# The schema's order as import-semantics §6.4 and xnat.xsd have it, written down once more: what is checked here.
SESSION_ORDER = """
sharing date time duration delay note investigator validation resources fields acquisition_site custom_fields
subject_ID age regions scanner operator prearchivePath scans reconstructions assessors dcmAccessionNumber
dcmPatientId dcmPatientName dcmPatientBirthDate dcmPatientWeight coil fieldStrength marker stabilization
studyType patientID patientName tracer start_time start_time_scan start_time_injection blood_glucose
blood_glucose_units blood_glucose_time
"""
SCAN_ORDER = """
sharing image_session_ID note quality condition series_description series_class documentation scanner modality
frames operator file validation startTime start_date requestedProcedureDescription protocolName
bodyPartExamined custom_fields contrasts coil fieldStrength marker stabilization fileNameUUID parameters
dcmValidation
"""
PARAMETER_ORDER = """
voxelRes orientation subjectPosition fov matrix partitions tr te deltaTE ti flip sequence origin imageType
scanSequence seqVariant scanOptions acqType readoutSampleSpacing coil coilElements dtiAcqCount pixelBandwidth
echoSpacing phaseEncodingDirection acqTime diffusion addParam inPlanePhaseEncoding pmc
"""

STUDY = {
    "StudyDate": "20240130",
    "StudyTime": "091244.512",
    "StudyDescription": "BRAIN",
    "StudyID": "77",
    "StudyComments": "left < right",
    "Modality": "MR",
    "InstitutionName": "General Hospital",
    "StationName": "MRC35177,MRC35178",
    "Manufacturer": "SIEMENS",
    "ManufacturerModelName": "Skyra",
    "OperatorsName": "ab",
    "AccessionNumber": "A1",
    "PatientID": "PAT01",
    "PatientName": "Yamada^Tarou=山田^太郎",
    "PatientBirthDate": "19700101",
    "PatientWeight": "70",
    "MagneticFieldStrength": "2.89362",
}
LOCALIZER = {
    "SeriesDescription": "localizer",
    "SeriesDate": "20240130",
    "SeriesTime": "091300",
    "StationName": "MRC35177",
    "Manufacturer": "SIEMENS",
    "ManufacturerModelName": "Skyra",
    "ProtocolName": "localizer",
    "BodyPartExamined": "BRAIN",
    "RequestedProcedureDescription": "MRI head",
    "MagneticFieldStrength": "30000",
    "ReceiveCoilName": "HeadMatrix",
    "PixelSpacing": "1\\1",
    "SliceThickness": "8",
    "Orientation": "Tra",
    "Rows": "256",
    "Columns": "256",
    "RepetitionTime": "8.6",
    "EchoTime": "4",
    "EchoTimes": "1=4",
    "InversionTime": "900",
    "FlipAngle": "20",
    "SequenceName": "*fl2d1",
    "ImageType": "ORIGINAL\\PRIMARY\\M\\ND",
    "ScanningSequence": "GR",
    "SequenceVariant": "SP\\OSP",
    "ScanOptions": "PFP",
    "MRAcquisitionType": "2D",
    "PixelBandwidth": "320",
    "DiffusionBValue": "1000.0",
    "DiffusionDirectionality": "DIRECTIONAL",
    "DiffusionGradientOrientation": "1.0\\0.0\\0.0",
    "DiffusionAnisotropyType": "FRACTIONAL",
}
SECONDARY = Resource("secondary", "DICOM", "secondary", 1, 900)


def mr_session(**changes: object) -> Session:
    return session(
        scan("10", xsi_type="xnat:otherDicomScanData", modality="SR", frames=1, resources=(SECONDARY,), note="cut off"),
        scan("2", attributes=LOCALIZER, frames=2),
        scan("3", attributes={"SeriesDescription": "gre", "EchoTimes": "2=7.38,1=4.92", "EchoTime": None}),
        attributes=STUDY,
        fields={
            "xnat:mrSessionData/note": "asleep",
            "xnat:mrSessionData/scanner/model": "Skyra fit",
            "xnat:mrSessionData/fields/field[name=dose]/field": "3",
            "xnat:mrSessionData/marker": "vitamin E",
            "xnat:experimentData/investigator/lastname": "Curie",
            "xnat:mrSessionData/session_type": "follow-up",
            "xnat:subjectData/group": "control",
            "xnat:mrSessionData/nothing": "lost",
        },
        visit="V2",
        protocol="PROT",
        resources=(Resource("NOTES", "TEXT", "", 1, 12),),
        **changes,
    )


EXAMPLES = {
    "session_mr_prearchive": mr_session(),
    "session_mr_archive": mr_session(home=ARCHIVED, subject="XNAT_S00001", revision=12),
    "session_pet_archive": session(
        scan("4", xsi_type="xnat:petScanData", modality="PT", attributes={"Rows": "128", "Columns": "128"}),
        home=ARCHIVED,
        xsi_type="xnat:petSessionData",
        attributes={"Modality": "PT", "PatientWeight": "70.5", "MagneticFieldStrength": "3"},
        fields={"xnat:petSessionData/blood_glucose": "5.1", "xnat:petSessionData/stabilization": "foam"},
    ),
    "session_petmr_prearchive": session(
        scan("4", xsi_type="xnat:petScanData", modality="PT"),
        scan("5", attributes=LOCALIZER),
        xsi_type="xnat:petmrSessionData",
        attributes={"Modality": None, "MagneticFieldStrength": "3"},
        fields={"xnat:petmrSessionData/studyType": "rest", "xnat:petmrSessionData/coil": "head"},
    ),
    "session_ct_prearchive": session(
        scan("3-CT1", xsi_type="xnat:ctScanData", modality="CT", attributes={"SliceThickness": "5"}),
        project=None,
        xsi_type="xnat:ctSessionData",
        prearchive_path="/prearchive/projects/Unassigned/20240131_101530123/PAT01",
        fields={"xnat:ctSessionData/marker": "a CT session has no place for it"},
    ),
    "session_other_prearchive": session(xsi_type=""),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_sessions_are_the_golden_files(name: str) -> None:
    assert render_session(EXAMPLES[name]).decode() == (GOLDEN / f"{name}.xml").read_text("utf-8")


def positions(parent: etree._Element, order: str) -> list[int]:
    return [order.split().index(str(child.tag).removeprefix(XNAT)) for child in parent]


def assert_in_order(xml: bytes) -> etree._Element:
    root = etree.fromstring(xml)
    assert positions(root, SESSION_ORDER) == sorted(positions(root, SESSION_ORDER))
    for made in root.iter(f"{XNAT}scan"):
        assert positions(made, SCAN_ORDER) == sorted(positions(made, SCAN_ORDER))
    for made in root.iter(f"{XNAT}parameters"):
        assert positions(made, PARAMETER_ORDER) == sorted(positions(made, PARAMETER_ORDER))
    return root


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
header_values = st.none() | texts | st.sampled_from(["1", "20240130", "1\\1", "1\\0\\0\\0\\1\\0", "1=4,2=5"])
headers = st.dictionaries(st.sampled_from(sorted({**STUDY, **LOCALIZER})), header_values, max_size=12)
places = st.sampled_from(["date", "note", "age", "coil", "stabilization", "scanner", "scanner/model", "x", "study_id"])
sent = st.dictionaries(places.map("xnat:imageSessionData/{}".format), texts)
kinds = st.sampled_from(["mr", "pet", "petmr", "ct", "us", "otherDicom"])


@given(kinds, headers, sent)
def test_any_headers_make_well_formed_xml_in_the_schemas_order(
    kind: str, attributes: dict[str, str | None], fields: dict[str, str]
) -> None:
    scans = (scan("1", attributes=attributes), scan("2", xsi_type="xnat:ctScanData", attributes=attributes))
    for home in (ARCHIVED, session().home):
        made = session(*scans, home=home, xsi_type=f"xnat:{kind}SessionData", attributes=attributes, fields=fields)
        root = assert_in_order(render_session(made))
        description = root.findtext(f"{XNAT}scans/{XNAT}scan/{XNAT}series_description")
        assert (description or "") == legal(attributes.get("SeriesDescription") or "").strip()


def test_the_prearchive_tells_no_more_than_a_build_leaves() -> None:
    root = assert_in_order(render_session(mr_session()))
    assert root.get("ID") is None
    assert root.findtext(f"{XNAT}subject_ID") == "DOE_JOHN"
    for made in root.iter(f"{XNAT}scan"):
        assert made.get("type") is None
        assert made.find(f"{XNAT}quality") is None
    assert {f.get("URI", "").split("/")[0] for f in root.iter(f"{XNAT}file")} == {"SCANS"}
    assert all(f.get("file_count") is None for f in root.iter(f"{XNAT}file"))


def test_the_archive_adds_ids_types_and_counts() -> None:
    root = assert_in_order(render_session(mr_session(home=ARCHIVED, subject="XNAT_S00001")))
    assert root.get("ID") == "XNAT_E00001"
    assert root.find(f"{XNAT}prearchivePath") is None
    first = root.find(f"{XNAT}scans/{XNAT}scan")
    assert first is not None
    assert first.get("type") == "t1_mprage"
    assert first.findtext(f"{XNAT}quality") == "usable"
    resource = first.find(f"{XNAT}file")
    assert resource is not None
    assert resource.attrib == {
        "URI": "s3://scandock/sessions/P/XNAT_E00001/SCANS/2/DICOM/scan_2_catalog.xml",
        "content": "RAW",
        "file_count": "176",
        "file_size": "6000000",
        "format": "DICOM",
        "label": "DICOM",
        XSI_TYPE: "xnat:resourceCatalog",
    }


def test_what_files_disagree_on_is_left_out() -> None:
    root = etree.fromstring(render_session(session(attributes={"StudyDate": None, "Modality": None})))
    assert root.find(f"{XNAT}date") is None
    assert root.get("modality") is None


def test_control_characters_of_a_header_are_dropped() -> None:
    root = etree.fromstring(render_session(session(attributes={"PatientName": "\x1b$B;3ED\x00^太郎"})))
    assert root.findtext(f"{XNAT}dcmPatientName") == "$B;3ED^太郎"


def test_scans_come_in_the_order_of_their_numbers() -> None:
    assert sorted(["10", "3-MR2", "2", "3-MR1", "1_2_3", "NA"], key=natural) == [
        *("1_2_3", "2", "3-MR1", "3-MR2", "10", "NA")
    ]


def test_only_mr_scans_have_mr_parameters() -> None:
    root = etree.fromstring(render_session(session(scan("1", xsi_type="xnat:ctScanData", attributes=LOCALIZER))))
    assert root.find(f".//{XNAT}parameters") is None
    assert root.find(f".//{XNAT}fieldStrength") is None


def test_the_same_rows_give_the_same_bytes() -> None:
    assert render_session(mr_session()) == render_session(mr_session())


def test_what_a_document_says_of_a_scan_and_no_header_would_is_shown_in_its_place() -> None:
    stated = {
        "xnat:mrScanData/condition": "resting",
        "xnat:mrScanData/parameters/deltaTE": "2.46",
        "xnat:mrScanData/parameters/matrix/x": "64",
        "xnat:ctScanData/documentation": "of another type",
    }
    document = render_session(session(scan("4", attributes=stated))).decode()
    assert "<xnat:condition>resting</xnat:condition>" in document
    assert "<xnat:deltaTE>2.46</xnat:deltaTE>" in document
    assert "of another type" not in document


def test_a_pet_sessions_tracer_comes_from_its_header_or_its_sender() -> None:
    attributes = {"Radiopharmaceutical": "FDG", "Isotope": "F-18", "IsotopeHalfLife": "6586.2"}
    fields = {"xnat:petSessionData/tracer/dose": "10", "xnat:petSessionData/tracer/dose/units": "mCi"}
    pet = session(xsi_type="xnat:petSessionData", attributes=attributes, fields=fields)
    document = "".join(line.strip() for line in render_session(pet).decode().splitlines())
    assert (
        '<xnat:tracer><xnat:name>FDG</xnat:name><xnat:dose units="mCi">10</xnat:dose>'
        '<xnat:isotope half-life="6586.2">F-18</xnat:isotope></xnat:tracer>'
    ) in document
    assert "tracer" not in render_session(session(attributes=attributes, fields=fields)).decode()

"""XNAT documents of a XAR: what is read of them, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import UserError
from services.router.xar_documents import Kind, read_documents
from services.router.xar_xml import ENTITIES, parse
from tests.expectations import DATA

NS = 'xmlns:xnat="http://nrg.wustl.edu/xnat" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
REAL = (DATA / "20_xar_example" / "unpacked" / "session.xml").read_bytes()


def session(inner="", root="MRSession", attributes='project="P" label="E1"', subject="S1"):
    about = f"<xnat:subject_ID>{subject}</xnat:subject_ID>" if subject else ""
    return f"<xnat:{root} {NS} {attributes}>{inner}{about}</xnat:{root}>".encode()


def scan(inner="", root="MRScan", attributes='ID="5" UID="1.2.5"', image_session="XNAT_E00001"):
    about = f"<xnat:image_session_ID>{image_session}</xnat:image_session_ID>" if image_session else ""
    return f"<xnat:{root} {NS} {attributes}>{about}{inner}</xnat:{root}>".encode()


def read(*bodies):
    return read_documents({f"{number}.xml": body for number, body in enumerate(bodies)})


def refused(*bodies):
    with pytest.raises(UserError) as caught:
        read(*bodies)
    return caught.value


def test_the_example_is_a_session_with_its_scan():
    document = read(REAL)
    assert (document.kind, document.project, document.subject) == (Kind.SESSION, "XARDEMO", "XARDEMO_S01")
    assert (document.session, document.xsi_type) == ("XARDEMO_S01_MR1", "xnat:mrSessionData")
    assert document.values.attributes["StudyDate"] == "20171205"
    (only,) = document.scans
    assert (only.scan_id, only.type, only.quality, only.xsi_type) == ("13", "fMRI", "usable", "xnat:mrScanData")
    assert [(one.label, one.format, one.content) for one in only.resources] == [
        ("DICOM", "DICOM", "RAW"),
        ("SNAPSHOTS", "TXT", "NOTE"),
    ]


@pytest.mark.parametrize(
    ("root", "type_"),
    [
        ("MRSession", "xnat:mrSessionData"),
        ("PETMRSession", "xnat:petmrSessionData"),
        ("OtherDicomSession", "xnat:otherDicomSessionData"),
    ],
)
def test_the_root_names_the_session_type(root, type_):
    assert read(session(root=root)).xsi_type == type_


def test_a_type_with_another_prefix_is_xnats_own():
    body = (
        b'<x:imageSession xmlns:x="http://nrg.wustl.edu/xnat" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        b' xsi:type="x:ctSessionData" project="P" label="E"><x:subject_ID>S</x:subject_ID></x:imageSession>'
    )
    assert read(body).xsi_type == "xnat:ctSessionData"


def test_what_has_no_attribute_is_kept_by_its_path():
    inner = (
        "<xnat:note>asleep</xnat:note><xnat:investigator><xnat:lastname>Roe</xnat:lastname></xnat:investigator>"
        '<xnat:fields><xnat:field name="dose">3</xnat:field></xnat:fields>'
        '<xnat:scanner manufacturer="GE">ST1</xnat:scanner>'
    )
    values = read(session(inner)).values
    assert values.paths == {
        "xnat:mrSessionData/note": "asleep",
        "xnat:mrSessionData/investigator/lastname": "Roe",
        "xnat:mrSessionData/fields/field[name=dose]/field": "3",
    }
    assert values.attributes == {"Manufacturer": "GE", "StationName": "ST1"}


def test_a_scans_parameters_are_the_attributes_that_its_xml_is_made_of():
    inner = (
        '<xnat:scans><xnat:scan ID="1" xsi:type="xnat:mrScanData"><xnat:series_description>t1</xnat:series_description>'
        "<xnat:condition>resting</xnat:condition><xnat:startTime>09:13:00</xnat:startTime>"
        '<xnat:parameters><xnat:voxelRes x="1.0" y="2.0" z="3.0"/><xnat:tr>8.6</xnat:tr></xnat:parameters>'
        "</xnat:scan></xnat:scans>"
    )
    values = read(session(inner)).scans[0].values
    assert values.attributes == {
        "SeriesDescription": "t1",
        "SeriesTime": "091300",
        "PixelSpacing": "1.0\\2.0",
        "SliceThickness": "3.0",
        "RepetitionTime": "8.6",
    }
    assert values.paths == {"xnat:mrScanData/condition": "resting"}


def test_elements_without_a_place_are_named():
    assert read(session("<xnat:reconstructions/><xnat:assessors/>")).unkept == ("reconstructions",)


def test_other_xml_at_the_top_is_no_document():
    assert read(session(), b"<report/>", b"<not xml", b"").paths == ("0.xml",)


def test_scan_documents_of_one_session_go_together():
    document = read(scan(), scan(attributes='ID="6"', root="PETScan"))
    assert (document.kind, document.session) == (Kind.SCAN, "XNAT_E00001")
    assert [one.xsi_type for one in document.scans] == ["xnat:mrScanData", "xnat:petScanData"]


@pytest.mark.parametrize(
    ("bodies", "text"),
    [
        ([b"<report/>"], "Unable to locate XNAT xml document."),
        ([], "Unable to locate XNAT xml document."),
        ([session(), scan()], "Multiple data types cannot share a single XAR."),
        ([session(), session()], "XAR can only include data for one imaging session."),
        ([scan(), scan(image_session="OTHER")], "XAR can only include data for one imaging session."),
        ([session(attributes='label="E"')], "Could not process XAR file - Invalid project tag."),
        ([session(subject="")], "Could not process XAR file - Invalid subject."),
        ([scan(image_session="")], "All XNAT xml documents must reference a valid Imaging Session."),
        ([session(root="ReconstructedImage")], "Reconstructions in a XAR are not taken"),
        ([scan(attributes="")], "no ID"),
        ([scan(attributes='ID="../x"')], "no ID"),
        ([scan(), scan()], "the same ID"),
    ],
)
def test_incomplete_documents_are_refused_in_xnats_words(bodies, text):
    assert text in refused(*bodies).detail


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1/">]><x>&a;</x>',
        b'<!doctype x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
        b'<?xml version="1.0"?><!-- x --><!DOCTYPE x><x/>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'.encode("utf-16"),
    ],
)
def test_document_types_and_entities_are_refused(body):
    assert refused(body).code == ENTITIES[0]
    assert refused(session(), body).code == ENTITIES[0]


def test_deep_nesting_is_no_xml():
    assert parse(b"<a>" * 100_000) is None


@given(
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8)), max_size=6),
    st.floats(0, 1),
    st.sampled_from([REAL, session("<xnat:note>n</xnat:note>"), scan()]),
)
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_it_fail_otherwise(edits, length, body):
    edited = bytearray(body)
    for place, patch in edits:
        at = int(place * len(edited))
        edited[at : at + len(patch)] = patch
    try:
        document = read(bytes(edited[: int(length * len(edited)) + 1]))
    except UserError:
        return
    texts = [*document.values.attributes.values(), *document.values.paths.values()]
    assert not any("\0" in text for text in texts)

"""Documents of assessors: which session they are of, what they are called, and where their files belong."""

import pytest

from libs.common.assessor_xml import Assessor, AssessorFile, assessor_element, assessor_root
from libs.common.stated import assessor_key, uid_of
from services.router.xar_documents import Kind
from services.router.xar_plan import plan_xar
from tests.builders_xar import FILES, assessor, inner_assessor
from tests.unit.services.router.test_xar_documents import read, refused, scan, session


def test_an_assessor_names_its_session_and_has_what_its_document_says():
    document = read(assessor("XNAT_E00001"))
    assert (document.kind, document.session) == (Kind.ASSESSOR, "XNAT_E00001")
    (one,) = document.assessors
    assert (one.stated.label, one.stated.xsi_type) == ("QC1", "xnat:qcManualAssessorData")
    assert one.stated.fields == {"date": "2024-01-31", "note": "good", "rater": "ann"}
    assert "xnat:out" not in one.stated.document
    assert [(r.label, r.format, r.content) for r in one.resources] == [("DATA", "JSON", "QC")]


@pytest.mark.parametrize(
    ("root", "type_"),
    [
        ("xnat:QCAssessment", "xnat:qcAssessmentData"),
        ("xnat:QCManualAssessment", "xnat:qcManualAssessorData"),
        ("icr:RoiCollection", "icr:roiCollectionData"),
        ("icr:RoiCollectionData", "icr:roiCollectionData"),
    ],
)
def test_the_root_names_the_type(root, type_):
    assert read(assessor("E", root=root)).assessors[0].stated.xsi_type == type_


def test_a_session_document_has_its_assessors():
    document = read(session(inner_assessor("Q.1")))
    assert document.kind is Kind.SESSION
    assert [one.stated.label for one in document.assessors] == ["Q_1"]
    assert document.unkept == ()


def test_several_of_one_session_come_together_and_no_label_comes_twice():
    assert len(read(assessor("E", "A"), assessor("E", "B")).assessors) == 2
    assert refused(assessor("E", "A"), assessor("E", "A")).code == "xar-assessor-label"
    assert refused(assessor("E", "A"), assessor("F", "B")).code == "xar-several-sessions"
    assert refused(assessor("E"), scan()).code == "xar-mixed"


@pytest.mark.parametrize(
    ("body", "code"), [(assessor(""), "xar-no-session"), (assessor("E", label=""), "xar-assessor-label")]
)
def test_what_an_assessor_needs(body, code):
    assert refused(body).code == code


def test_a_session_or_scan_that_names_a_session_is_no_assessor():
    assert read(session("<xnat:imageSession_ID>E</xnat:imageSession_ID>")).kind is Kind.SESSION


def test_its_files_belong_to_it_and_to_no_scan():
    plan = plan_xar(read(assessor("E")), {"0.xml", *FILES}, {})
    key = assessor_key("QC1")
    assert {path: (one.series_key, one.resource_label, one.name) for path, one in plan.places.items()} == {
        "DATA/a.json": (key, "DATA", "a.json"),
        "DATA/deep/b.txt": (key, "DATA", "deep/b.txt"),
    }
    assert uid_of(key) == ""
    own, one = plan.series
    assert (own.stated.adds, one.stated.assessor.label) == (True, "QC1")


def test_files_outside_of_the_archive_are_refused():
    body = assessor("E").replace(b"DATA/DATA_catalog.xml", b"../../etc/passwd")
    with pytest.raises(Exception, match="stay inside"):
        plan_xar(read(body), {"0.xml"}, {})


def stored(body, files=()):
    stated = read(body).assessors[0].stated
    return Assessor("XNAT_E00009", stated.label, "P", "XNAT_E00001", stated.xsi_type, stated.document, files)


def test_a_stored_document_is_given_back_with_our_ids_and_catalogs_in_xnats_order():
    file = AssessorFile("s3://b/x_catalog.xml", "DATA", "JSON", "", 2, 16)
    root = assessor_root(stored(assessor("E1"), [file]))
    assert [child.tag.rpartition("}")[2] for child in root] == ["date", "note", "out", "imageSession_ID", "rater"]
    assert (root.get("ID"), root.findtext("{*}imageSession_ID")) == ("XNAT_E00009", "XNAT_E00001")
    assert root.find("{*}out/{*}file").get("URI") == "s3://b/x_catalog.xml"


def test_within_a_session_it_is_an_assessor_with_its_type():
    element = assessor_element(stored(assessor("E1", root="icr:RoiCollection")))
    assert element.tag == "{http://nrg.wustl.edu/xnat}assessor"
    assert "icr:roiCollectionData" in element.values()
    assert "icr" in element.nsmap

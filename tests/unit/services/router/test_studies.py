from services.router.headers import Header, read_header
from services.router.studies import group
from tests import builders


def header(**elements: object) -> Header:
    read = read_header(builders.dicom_bytes(**elements), is_whole=True)
    assert isinstance(read, Header)
    return read


def test_headers_are_grouped_by_study_and_series():
    one, two = builders.uid("study", 1), builders.uid("study", 2)
    studies = group(
        {
            9: header(StudyInstanceUID=two, PatientID="late"),
            3: header(StudyInstanceUID=two, PatientID="early"),
            5: header(StudyInstanceUID=one, SeriesInstanceUID="1.5", Modality="MR", EchoTime="1"),
            7: header(StudyInstanceUID=one, SeriesInstanceUID="1.5", Modality="PT", EchoTime="2"),
            8: header(StudyInstanceUID=one, SeriesInstanceUID="1.8", Modality=""),
        }
    )
    assert [study.study_instance_uid for study in studies] == sorted([one, two])
    by_uid = {study.study_instance_uid: study for study in studies}
    assert by_uid[two].ordinal == 3
    assert [texts["PatientID"] for texts in by_uid[two].headers] == ["early", "late"]
    first, second = by_uid[one].series
    assert (first.series_instance_uid, first.modalities) == ("1.5", ["MR", "PT"])
    assert (first.attributes["EchoTime"], first.attributes["EchoTimes"]) == (None, "1=1,1=2")
    assert first.attributes["PatientID"] == "PAT01"
    assert second.modalities == []


def test_no_headers_make_no_studies():
    assert group({}) == []

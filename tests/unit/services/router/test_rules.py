import pytest

from libs.common.facts import fold
from libs.common.requests import Destination
from services.router import rules
from services.router.rules import Identity, assign, identify

NOWHERE = Destination()


@pytest.mark.parametrize(
    ("note", "project"),
    [
        ("Project:A Subject:B Session:C AA:true", "A"),  # the table of import semantics §4.2
        ("Project: A;Subject:B", "A"),
        ("foo, project : a-1, z", "a-1"),
        ("Project:A Project:B", "B"),
        ("Project:Foo^Bar", None),
        ("xProject:A", None),
        ("Project:", None),
        ("Project:A\nmore", "A"),
        ("Project:A, one\ntwo", None),
        ("one\nProject:A", "A"),
        ("one\ntwo Project:A", None),
        ("", None),
    ],
)
def test_a_note_assigns_by_key_and_colon(note, project):
    assert assign("Project", note) == project


def test_a_long_note_of_keys_is_read_in_time():
    assert assign("Project", "Project:a " * 1600 + "\n") is None


def test_project_candidates_come_in_order():
    texts = {
        "PatientComments": "Project:P1",
        "StudyComments": "Project:P2",
        "AdditionalPatientHistory": "Project:P3",
        "StudyDescription": "P 4",
        "AccessionNumber": "P5",
    }
    assert rules.project_candidates(texts) == ["P1", "P2", "P3", "P 4", "P5"]


@pytest.mark.parametrize(
    ("texts", "subject", "session"),
    [
        ({"PatientName": "DOE^JOHN Q.", "PatientID": "A.1"}, "DOE_JOHN_Q_", "A_1"),
        ({"PatientName": "DOE", "PatientComments": "Subject:S1 Session:E1", "PatientID": "A"}, "S1", "E1"),
        ({"PatientName": "DOE", "StudyComments": "Subject:S1", "PatientID": "A"}, "S1", "A"),
        ({"PatientComments": "Subject:S1", "AdditionalPatientHistory": "Subject:S2 Session:E2"}, "S1", "E2"),
        ({"PatientName": "Müller^Jürgen"}, "M_ller_J_rgen", ""),
        ({"PatientName": "山田^太郎=ﾔﾏﾀﾞ"}, "__________", ""),
        ({"PatientName": "A\\B", "PatientID": "1\\2"}, "A", "1"),
        ({}, "", ""),
    ],
)
def test_labels_come_from_notes_then_from_name_and_id(texts, subject, session):
    assert (rules.subject_label(texts), rules.session_label(texts)) == (subject, session)


def test_a_label_fits_an_index():
    assert len(rules.subject_label({"PatientName": "x" * 5000})) == 255


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        ({"PatientComments": "AA:true"}, True),
        ({"StudyComments": "aa: F"}, False),
        ({"PatientComments": "AA:maybe", "StudyComments": "AA:t"}, True),
        ({"PatientComments": "AA:maybe"}, None),
        ({}, None),
    ],
)
def test_auto_archive_is_asked_in_notes(texts, answer):
    assert rules.auto_archive(texts) is answer


@pytest.mark.parametrize(("patient", "folder"), [("PAT-01", "PAT_01"), ("", ""), (" a b\\c", "a_b")])
def test_the_folder_is_the_patient_id(patient, folder):
    assert rules.folder({"PatientID": patient}) == folder


def test_the_first_file_that_says_anything_names_the_study():
    headers = [
        {"StudyDescription": "not a project"},
        {"StudyDescription": "alias", "PatientID": "P1", "PatientName": "A"},
        {"StudyDescription": "other", "PatientID": "P2", "PatientName": "B", "PatientComments": "AA:t"},
    ]
    usable = {"alias": "P", "other": "Q"}
    assert identify(headers, NOWHERE, usable) == Identity("P", "A", "P1", "P1", auto_archive=True)


def test_a_candidate_that_is_not_usable_counts_for_nothing():
    headers = [{"PatientComments": "Project:secret", "AccessionNumber": "P"}]
    assert identify(headers, NOWHERE, {"P": "P"}).project == "P"
    assert identify(headers, NOWHERE, {}).project is None


def test_parameters_win_over_headers():
    headers = [{"PatientComments": "Project:Q Subject:S Session:E", "PatientID": "X-1"}]
    wanted = Destination(project="P", subject="S 1", session="E/1")
    assert identify(headers, wanted, {"Q": "Q"}) == Identity("P", "S_1", "E_1", "X_1", auto_archive=None)


def test_a_study_without_labels_still_has_a_folder():
    assert identify([{}], NOWHERE, {}) == Identity(None, "", "", "session", auto_archive=None)


@pytest.mark.parametrize(
    ("cosines", "orientation"),
    [
        ("1\\0\\0\\0\\1\\0", "Tra"),
        ("0\\1\\0\\0\\0\\-1", "Sag"),
        ("1\\0\\0\\0\\0\\-1", "Cor"),
        ("0.9\\0.1\\0.2\\0\\0.9\\0.3", "Tra"),
        ("0\\0\\0\\0\\0\\0", None),
        ("1\\0\\0", None),
        ("a\\b\\c\\d\\e\\f", None),
        ("nan\\0\\0\\0\\nan\\0", None),
    ],
)
def test_orientation_is_the_axis_of_the_normal(cosines, orientation):
    assert rules.attributes({"ImageOrientationPatient": cosines}).get("Orientation") == orientation


def test_a_series_has_the_orientation_that_its_slices_share():
    straight, tilted, cross = ("1\\0\\0\\0\\1\\0", "1\\0\\0\\0\\0.99\\-0.1", "0\\1\\0\\0\\0\\-1")
    each = {cosines: rules.attributes({"ImageOrientationPatient": cosines}) for cosines in (straight, tilted, cross)}
    assert fold([each[straight], each[tilted]]) == {"Orientation": "Tra"}
    assert fold([each[straight], each[cross]]) == {"Orientation": None}


def test_attributes_leave_out_what_identifies_a_file():
    texts = {"SOPInstanceUID": "1", "PatientComments": "x", "InstanceNumber": "3", "Modality": "MR", "EchoTime": "4.2"}
    assert rules.attributes(texts) == {"Modality": "MR", "EchoTime": "4.2", "EchoTimes": "1=4.2"}


def test_each_echo_keeps_its_time():
    assert rules.attributes({"EchoNumbers": "2", "EchoTime": "7.38"})["EchoTimes"] == "2=7.38"

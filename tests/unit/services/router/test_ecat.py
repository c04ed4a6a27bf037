"""The main header of ECAT 7 files, and the sessions and scans that they make."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import UserError
from libs.common.facts import Encoding, Member
from libs.common.importers import IMPORTERS
from libs.common.importers.dicom_zip import IMPORTER as DICOM_ZIP
from libs.common.stated import uid_of
from services.router.ecat import HEADER_BYTES, MAGIC, EcatHeader, is_ecat, read_ecat
from services.router.ecat_members import FIRST_NUMBER, NOT_TAKEN, admit, state_scans
from services.router.headers import Header, read_header
from services.router.studies import group
from tests import builders
from tests.expectations import content, index

ROWS = [row for row in index() if row["kind"] == "ecat7"]
SI = IMPORTERS["SI"]


def ecat(patient_id="P1", **fields):
    """The smallest ECAT file: a main header with these fields."""
    body = bytearray(b"MATRIX72v".ljust(HEADER_BYTES, b"\0"))
    places = {"name": (182, "32s"), "start": (62, "i"), "frames": (354, "h"), "weight": (224, "f"), "birth": (228, "i")}
    struct.pack_into(">16s", body, 166, patient_id.encode("latin-1"))
    for name, value in fields.items():
        at, code = places[name]
        struct.pack_into(f">{code}", body, at, value)
    return bytes(body)


def read(body):
    header = read_header(body, is_whole=True)
    assert isinstance(header, EcatHeader)
    return header


def member(ordinal, path):
    return Member(ordinal, path, "key", 0, 1, 1, Encoding.PLAIN)


def route(files, xml_paths=None, importer=SI):
    """The studies that files (path -> bytes) make."""
    members = [member(ordinal, path) for ordinal, path in enumerate(files)]
    read_ = {ordinal: read_header(body, is_whole=True) for ordinal, body in enumerate(files.values())}
    outcomes = admit(read_, members, importer)
    headers = {ordinal: outcome for ordinal, outcome in outcomes.items() if isinstance(outcome, Header)}
    return state_scans(group(headers), headers, xml_paths or {})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["path"])
def test_the_index_says_the_same_of_real_files(row):
    header = read(content(row))
    assert header.patient_id == row["patient_id"]
    assert header.texts.get("PatientName", "") == row["patient_name"]
    assert header.texts["InstitutionName"] == row["facility"]
    assert header.texts["Modality"] == row["modality"]


def test_the_fields_of_a_real_file_are_those_that_other_readers_show():
    texts = read(content(ROWS[1])).texts
    assert texts["StudyDescription"] == "FDG brain derived"
    assert (texts["StudyDate"], texts["StudyTime"]) == ("20101118", "235655")
    assert (texts["Radiopharmaceutical"], texts["Isotope"], texts["IsotopeHalfLife"]) == ("FDG", "F-18", "6586.2")
    assert texts["ManufacturerModelName"] == "ECAT 961"
    assert "PatientBirthDate" not in texts


def test_the_first_512_bytes_are_enough_and_fewer_are_not():
    body = content(ROWS[0])
    assert isinstance(read_header(body[:HEADER_BYTES], is_whole=False), EcatHeader)
    assert read_ecat(body[: HEADER_BYTES - 1]) is None


def test_a_dicom_file_is_never_taken_for_ecat_by_its_preamble():
    body = builders.dicom_bytes()
    assert isinstance(read_header(MAGIC + body[len(MAGIC) :], is_whole=True), Header)


@pytest.mark.parametrize("seconds", [0, -1])
def test_unknown_moments_are_left_out(seconds):
    assert not {"StudyDate", "StudyTime", "PatientBirthDate"} & read(ecat(start=seconds, birth=seconds)).texts.keys()


def test_a_birth_before_1970_is_a_date():
    assert read(ecat(birth=-86400 * 365)).texts["PatientBirthDate"] == "19690101"


@given(st.binary(min_size=HEADER_BYTES - 7, max_size=HEADER_BYTES + 20))
def test_no_bytes_make_the_reader_fail(tail):
    body = MAGIC + tail
    assert is_ecat(body)
    header = read_ecat(body)
    assert header is not None
    assert header.number_of_frames >= 1
    assert all(text.isprintable() and text for text in header.texts.values())
    "".join(header.texts.values()).encode()


def test_files_of_one_patient_are_one_session_with_a_scan_for_each_in_their_order():
    (study,) = route({"z/b.v": ecat(), "a/a.v": ecat(start=5)})
    numbers = {series.series_instance_uid: series.stated.ordinal for series in study.series}
    assert sorted(numbers.values()) == [0, 1]
    assert uid_of(study.study_instance_uid) == ""
    assert all(uid_of(key) == "" for key in numbers)


def test_patients_and_files_without_one_are_sessions_of_their_own():
    assert len(route({"a.v": ecat("P1"), "b.v": ecat("P2"), "c.v": ecat("")})) == 3


def test_dicom_beside_ecat_is_another_session():
    studies = route({"a.v": ecat(), "b.dcm": builders.dicom_bytes()})
    assert sorted(bool(uid_of(study.study_instance_uid)) for study in studies) == [False, True]
    dicom = next(study for study in studies if uid_of(study.study_instance_uid))
    assert dicom.series[0].stated is None


def test_no_key_tells_the_patient_or_the_name_of_the_file():
    (study,) = route({"DOE_JOHN.v": ecat("PAT01")})
    assert "PAT01" not in study.study_instance_uid
    assert "DOE" not in study.series[0].series_instance_uid


def test_the_sender_may_give_the_number_of_the_first_scan():
    (study,) = route({"a.v": ecat()}, {FIRST_NUMBER: "7"})
    assert study.series[0].stated.first_number == 7


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 40, "²"])
def test_a_first_scan_number_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="must be the number"):
        route({"a.v": ecat()}, {FIRST_NUMBER: text})


def test_a_handler_of_dicom_alone_does_not_take_ecat():
    assert admit({0: read(ecat())}, [member(0, "a.v")], DICOM_ZIP) == {0: NOT_TAKEN}

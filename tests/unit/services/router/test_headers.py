import io
import struct
import zlib

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.multival import MultiValue

from services.router.headers import (
    _WANTED,
    DIRECTORY,
    UNREADABLE,
    Header,
    Incomplete,
    NotDicom,
    read_header,
    wanted_with,
)
from tests import builders
from tests.expectations import NAMES, content, has_uids, index

ROWS = index()
IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def by_folder(rows):
    folders = {}
    for row in rows:
        folders.setdefault(row["path"].split("/")[0], []).append(row)
    return [pytest.param(rows, id=folder) for folder, rows in folders.items()]


@pytest.mark.parametrize("rows", by_folder([row for row in ROWS if has_uids(row)]))
def test_real_files_are_read_as_their_index_says(rows):
    for row in rows:
        header = read_header(content(row), is_whole=True)
        assert isinstance(header, Header), row["path"]
        read = header.instance
        wanted = ("study_uid", "series_uid", "sop_uid", "sop_class_uid", "modality", "series_number", "instance_number")
        assert (
            read.study_instance_uid,
            read.series_instance_uid,
            read.sop_instance_uid,
            read.sop_class_uid,
            read.modality,
            read.series_number,
            read.instance_number,
        ) == tuple(row[name] or "" for name in wanted), row["path"]
        assert header.texts.get("PatientName", "") == NAMES.get(row["path"], row["patient_name"] or ""), row["path"]
        assert header.texts.get("PatientID", "") == (row["patient_id"] or ""), row["path"]
        assert header.texts.get("SeriesDescription", "") == (row["series_description"] or ""), row["path"]


@pytest.mark.parametrize("rows", by_folder([row for row in ROWS if has_uids(row)]))
@pytest.mark.filterwarnings("ignore")  # pydicom warns of every odd value
def test_every_element_of_a_real_file_reads_as_pydicom_reads_it(rows):
    for row in rows:
        body = content(row)
        header = read_header(body, is_whole=True)
        ds = pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True, force=True)
        assert isinstance(header, Header), row["path"]
        for vr, keyword in _WANTED.values():
            ours = header.texts.get(keyword, "")
            assert plain(ours, vr) == plain(pydicom_text(ds.get(keyword)), vr), (row["path"], keyword)


def pydicom_text(value):
    values = value if isinstance(value, list | MultiValue) else [value]
    return "\\".join("" if one is None else str(one) for one in values)


def plain(text, vr):
    """Equal where two texts say the same: 0 and 0.0, an empty first character set, an empty last form of a name."""
    if vr == b"FD" and text:
        return [float(number) for number in text.split("\\")]
    return text.rstrip("=") if vr == b"PN" else text.strip("\\")


@pytest.mark.parametrize("rows", by_folder([row for row in ROWS if not has_uids(row) and row["kind"] != "ecat7"]))
def test_other_real_files_say_why_they_are_none(rows):
    for row in rows:
        read = read_header(content(row), is_whole=True)
        assert isinstance(read, NotDicom), row["path"]
        assert (read == DIRECTORY) == (row["kind"] == "dicomdir"), row["path"]
        assert (read.reason == "no Study Instance UID") == (row["kind"] == "dicom"), row["path"]


@pytest.mark.parametrize("rows", by_folder(ROWS))
def test_reading_in_pieces_finds_the_same(rows):
    for row in rows[:10]:
        body = content(row)
        length, pieces = 1, 0
        while isinstance(read := read_header(body[:length], length >= len(body)), Incomplete):
            length = max(8 * length, read.needed_bytes)
            pieces += 1
        assert read == read_header(body, is_whole=True), row["path"]
        assert pieces <= 7


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("18_junk_non_dicom/magic_only.dcm", "unreadable DICOM header"),
        ("18_junk_non_dicom/magic_then_text.dcm", "unreadable DICOM header"),
        ("18_junk_non_dicom/empty.dcm", "empty file"),
        ("18_junk_non_dicom/XA_validation.pdf", "not DICOM: PDF"),
        ("18_junk_non_dicom/SiemensPDF.png", "not DICOM: PNG"),
        ("18_junk_non_dicom/DCM2NIIX_regression_test_4.json", "not DICOM: JSON"),
        ("18_junk_non_dicom/report.xml", "not DICOM: XML"),
        ("18_junk_non_dicom/notes.txt", "not DICOM: text"),
        ("18_junk_non_dicom/utf16.txt", "not DICOM: text (UTF-16)"),
        ("18_junk_non_dicom/text_named_like_dicom.dcm", "not DICOM: text"),
        ("18_junk_non_dicom/viewer.exe", "not DICOM: Windows executable"),
        ("18_junk_non_dicom/__MACOSX/._IM0001.dcm", "not DICOM: AppleDouble"),
        ("18_junk_non_dicom/standard.nii.gz", "not DICOM: NIfTI"),
        ("16_oddities/no_meta.dcm", "not DICOM: unknown format"),
        ("06_ct_philips_phantom/S21570/DIRFILE", "DICOMDIR: a directory of files, not an image"),
    ],
)
def test_a_file_that_is_none_says_what_it_looks_like(path, reason):
    row = next(row for row in ROWS if row["path"] == path)
    assert read_header(content(row), is_whole=True) == NotDicom(reason)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_every_uncompressed_syntax_reads_alike(syntax):
    elements = {"Rows": 2, "EchoTime": "4.2", "ImageType": ["ORIGINAL", "PRIMARY"], "DiffusionBValue": 1000.5}
    read = read_header(builders.dicom_bytes(transfer_syntax=syntax, **elements), is_whole=True)
    assert isinstance(read, Header)
    assert {keyword: read.texts[keyword] for keyword in elements} == {
        "Rows": "2",
        "EchoTime": "4.2",
        "ImageType": "ORIGINAL\\PRIMARY",
        "DiffusionBValue": "1000.5",
    }


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("StudyInstanceUID", "no Study Instance UID"),
        ("SeriesInstanceUID", "no Series Instance UID"),
        ("SOPInstanceUID", "no SOP Instance UID"),
    ],
)
@pytest.mark.parametrize("value", [None, ""])
def test_an_instance_without_a_uid_is_not_for_the_archive(keyword, reason, value):
    assert read_header(builders.dicom_bytes(**{keyword: value}), is_whole=True) == NotDicom(reason)


def test_a_uid_that_no_index_could_hold_is_refused():
    body = builders.dicom_bytes()
    uid = builders.uid("study", 1).encode()
    uid += b"\0" * (len(uid) % 2)
    at = body.index(uid)
    longer = body[: at - 2] + struct.pack("<H", 3000) + b"1" * 3000 + body[at + len(uid) :]
    assert read_header(longer, is_whole=True) == NotDicom("malformed Study Instance UID")


def test_a_missing_uid_needs_the_bytes_up_to_the_pixels_alone():
    body = builders.dicom_bytes(StudyInstanceUID=None)
    assert read_header(body[:-6], is_whole=False) == NotDicom("no Study Instance UID")


def test_pixels_are_not_needed():
    body = builders.dicom_bytes()
    assert isinstance(read_header(body[: body.index(b"\xe0\x7f\x10\x00") + 8], is_whole=False), Header)


def test_damage_before_the_uids_is_unreadable():
    body = builders.dicom_bytes()
    assert read_header(body[:300], is_whole=True) == UNREADABLE


def test_a_private_element_in_between_says_how_far_to_read():
    ds = builders.dataset()
    ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", bytes(100_000))
    body = builders.dicom_bytes(ds)
    read = read_header(body[:4096], is_whole=False)
    assert isinstance(read, Incomplete)
    assert 100_000 < read.needed_bytes < 110_000
    assert isinstance(read_header(body[: read.needed_bytes], is_whole=False), Header)


def test_control_characters_never_reach_the_database():
    body = builders.dicom_bytes(PatientName="DOE^JOHN", Modality="MR").replace(b"DOE^JOHN", b"D\x00E^J\x0bHN")
    read = read_header(body, is_whole=True)
    assert isinstance(read, Header)
    assert read.texts["PatientName"] == "DE^JHN"


@pytest.mark.parametrize(("number", "frames"), [("12", 12), ("", 1), ("0", 1), ("-3", 1), ("99999999999", 2**31 - 1)])
def test_number_of_frames_is_a_number(number, frames):
    body = builders.dicom_bytes(NumberOfFrames="4")
    at = body.index(b"\x28\x00\x08\x00IS")
    value = number.encode()
    body = body[: at + 6] + struct.pack("<H", len(value)) + value + body[at + 10 :]
    read = read_header(body, is_whole=True)
    assert isinstance(read, Header)
    assert read.instance.number_of_frames == frames


HEADS = [
    content(row)[:6000]
    for name in ("CT_small", "MR_small_implicit", "MR_small_bigendian", "image_dfl", "rtstruct", "badVR", "UN_sequence")
    for row in ROWS
    if row["path"] == f"16_oddities/{name}.dcm"
] + [content(row)[:3000] for row in ROWS if row["path"] in {"14_charsets/chrH32.dcm", "15_dicomdir/DICOMDIR"}]


@given(
    head=st.sampled_from(HEADS),
    edits=st.lists(st.tuples(st.integers(0, 1), st.binary(min_size=1, max_size=12)), max_size=8),
    places=st.lists(st.floats(0, 1), min_size=8, max_size=8),
    length=st.floats(0, 1),
    is_whole=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_it_fail(head, edits, places, length, is_whole):
    body = bytearray(head)
    for (keeps_length, patch), place in zip(edits, places, strict=False):
        at = int(place * len(body))
        body[at : at + len(patch) * keeps_length] = patch
    body = body[: int(length * len(body)) + 1]
    read = read_header(bytes(body), is_whole)
    if isinstance(read, Incomplete):
        assert not is_whole
        assert read.needed_bytes > len(body)
    if isinstance(read, Header):
        assert "\0" not in "".join(read.texts.values())
        "".join(read.texts.values()).encode()


@given(st.binary(max_size=600), st.booleans())
def test_no_other_bytes_make_it_fail(body, is_whole):
    read_header(body, is_whole)
    read_header(bytes(128) + b"DICM" + body, is_whole)


def test_a_gzip_bomb_of_a_deflated_data_set_is_bounded():
    body = builders.dicom_bytes(transfer_syntax=DEFLATED)
    at = body.index(DEFLATED.encode()) + len(DEFLATED)
    zeros = zlib.compressobj(wbits=-15)
    bomb = body[:at] + zeros.compress(bytes(64 << 20)) + zeros.flush()
    assert isinstance(read_header(bomb, is_whole=True), NotDicom)


FURTHER = frozenset({0x0008103E, 0x00189073, 0x00191001, 0x00081140, 0x40080100, 0x0040A730})


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_further_elements_are_read_where_they_are_asked_for(syntax):
    ds = builders.dataset(SeriesDescription="t1", AcquisitionDuration=4.5)
    ds.add_new(0x00191001, "LO", "private")
    ds.add_new(0x0040A730, "SQ", [])
    body = builders.dicom_bytes(ds, transfer_syntax=syntax)
    read = read_header(body, is_whole=True, wanted=wanted_with(FURTHER))
    assert isinstance(read, Header)
    assert read.extra == {
        "(0008,103E)": "t1",
        "(0018,9073)": "4.5",
        "(0019,1001)": "private",
        "(0040,A730)": "",
    }
    assert read.texts == read_header(body, is_whole=True).texts


def test_a_further_element_that_is_empty_is_there_all_the_same():
    ds = builders.dataset(SeriesDescription="")
    ds.add_new(0x00081140, "SQ", [builders.dataset()])
    ds["ReferencedImageSequence"].is_undefined_length = True
    read = read_header(builders.dicom_bytes(ds), is_whole=True, wanted=wanted_with(FURTHER))
    assert isinstance(read, Header)
    assert read.extra == {"(0008,103E)": "", "(0008,1140)": ""}


def test_a_header_is_read_as_far_as_its_further_elements_go():
    body = builders.dicom_bytes(ScheduledStationAETitle="MR1")
    head = body[: body.index(b"\xe0\x7f\x10\x00")]
    further = wanted_with(frozenset({0x40080100}))
    assert isinstance(read_header(head, is_whole=False), Header)
    assert isinstance(read_header(head, is_whole=False, wanted=further), Incomplete)
    assert isinstance(read_header(body, is_whole=True, wanted=further), Header)

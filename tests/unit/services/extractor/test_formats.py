import bz2
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.extractor.formats import HEAD_BYTES, Format, describe, recognise
from tests.builders import dataset, dicom_bytes
from tests.builders_archives import DICOM, tar_bytes, zip_bytes

LITTLE_EXPLICIT = (
    b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100\x08\x00\x12\x00DA\x08\x0020150529\x08\x00\x13\x00TM\x06\x00161509"
)
BIG_EXPLICIT = b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100\x00\x08\x00\x12DA\x00\x0820150529\x00\x08\x00\x13TM\x00\x06161509"
LITTLE_IMPLICIT = b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100\x08\x00\x12\x00\x08\x00\x00\x0020150529"
BIG_IMPLICIT = b"\x00\x08\x00\x05\x00\x00\x00\x0aISO_IR 100\x00\x08\x00\x12\x00\x00\x00\x0820150529"
META_FIRST = b"\x02\x00\x00\x00UL\x04\x00\x1a\x00\x00\x00\x02\x00\x10\x00UI\x12\x001.2.840.10008.1.2\x00"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (zip_bytes({"a": b"x"}), Format.ZIP),
        (zip_bytes({}), Format.ZIP),
        (b"PK00" + zip_bytes({"a": b"x"}), Format.ZIP),
        (tar_bytes({"a": b"x"}), Format.TAR),
        (tar_bytes({"a" * 200: b"x"}), Format.TAR),
        (gzip.compress(DICOM), Format.GZIP),
        (b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 118 + b"DICM\0", Format.GZIP),
        (bz2.compress(DICOM), Format.BZIP2),
        (bz2.compress(b""), Format.BZIP2),
        (b"BZh9 is no stream", Format.UNKNOWN),
        (DICOM, Format.DICOM),
        (dicom_bytes(), Format.DICOM),
        (dicom_bytes()[132:], Format.DICOM),
        (b"II*\0" + DICOM[4:], Format.DICOM),
        (DICOM[:132], Format.DICOM),
        (LITTLE_EXPLICIT, Format.DICOM),
        (BIG_EXPLICIT, Format.DICOM),
        (LITTLE_IMPLICIT, Format.DICOM),
        (BIG_IMPLICIT, Format.DICOM),
        (META_FIRST, Format.DICOM),
        (b" " + LITTLE_EXPLICIT, Format.UNKNOWN),
        (LITTLE_EXPLICIT[:40], Format.UNKNOWN),
        (b"MATRIX72v" + bytes(512), Format.ECAT),
        (zlib.compress(b"x"), Format.UNKNOWN),
        (b"", Format.UNKNOWN),
        (b"P", Format.UNKNOWN),
        (bytes(2000), Format.UNKNOWN),
        (b"\x08\x00 just text that begins oddly", Format.UNKNOWN),
        (b"%PDF-1.7", Format.UNKNOWN),
    ],
)
def test_a_format_is_told_by_content(body: bytes, expected: Format) -> None:
    assert recognise(body[:HEAD_BYTES], len(body)) is expected


def test_a_long_data_set_without_preamble_is_recognised_by_its_first_elements() -> None:
    body = dicom_bytes(dataset(ImageComments="x" * 9000))[132:]
    assert recognise(body[:HEAD_BYTES], len(body)) is Format.DICOM


@given(st.binary(max_size=700))
def test_any_bytes_have_a_format_and_a_description(body: bytes) -> None:
    assert recognise(body, len(body)) in Format
    assert describe(body)


@given(st.sampled_from([b"\x08\x00", b"\x00\x08", b"\x02\x00"]), st.binary(max_size=60))
def test_bytes_that_begin_like_a_data_set_do_no_harm(start: bytes, rest: bytes) -> None:
    assert recognise(start + rest, 2 + len(rest)) in Format


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\x89PNG\r\n", "a PNG image"),
        (b"%PDF-1.4", "a PDF document"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"<html>", "HTML or XML"),
        ("héllo wörld".encode(), "text"),
        (bytes(600), "zero bytes"),
        (b"\x93\x81\x02\x90\xff", "no format known here"),
    ],
)
def test_other_bytes_are_described_to_the_sender(head: bytes, words: str) -> None:
    assert describe(head) == words

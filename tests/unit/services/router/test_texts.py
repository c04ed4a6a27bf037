import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.elements import Element
from services.router.texts import encodings, text


@pytest.mark.parametrize(
    ("vr", "value", "read"),
    [
        (b"CS", b"MR ", "MR"),
        (b"UI", b"1.2.3\0", "1.2.3"),
        (b"CS", b"ORIGINAL \\ PRIMARY\\M ", "ORIGINAL\\PRIMARY\\M"),
        (b"CS", b"\\", ""),
        (b"LT", b" a\\b ", "a\\b"),
        (b"LT", b"one\r\ntwo", "one\r\ntwo"),
        (b"LO", b"Kr\xfcger", "Krüger"),
        (b"US", struct.pack("<2H", 256, 3), "256\\3"),
        (b"US", b"\1", ""),
        (b"SS", struct.pack("<h", -2), "-2"),
        (b"FD", struct.pack("<d", 0.1), "0.1"),
        (b"FL", struct.pack("<f", 0.1), "0.1"),
        (b"PN", b"", ""),
    ],
)
def test_a_value_is_read_by_its_vr(vr, value, read):
    assert text(Element(vr, value), b"LO", b"", big_endian=False) == read


def test_the_dictionary_says_what_the_file_does_not():
    assert text(Element(b"", b"\0\2"), b"US", b"", big_endian=True) == "2"
    assert text(Element(b"UN", b"\2\0"), b"US", b"", big_endian=False) == "2"
    assert text(Element(b"IS", b"2 "), b"US", b"", big_endian=False) == "2"


@pytest.mark.parametrize(
    ("charset", "value", "read"),
    [
        (b"ISO_IR 192", "Łukasz^ß".encode(), "Łukasz^ß"),
        (b"ISO_IR 144", "Люк".encode("iso8859-5"), "Люк"),
        (b"GB18030 ", "王^小东".encode("gb18030"), "王^小东"),
        (b"ISO-IR 100", b"J\xe9r", "Jér"),
        (b"\\ISO 2022 IR 87", b"A=\x1b$B;3ED\x1b(B^B", "A=山田^B"),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
        (b"klingon", b"J\xe9r", "Jér"),
        (b"ISO_IR 192", b"J\xe9r", "J\ufffdr"),
    ],
)
def test_character_sets_are_understood(charset, value, read):
    assert text(Element(b"PN", value), b"PN", charset, big_endian=False) == read


def test_a_character_set_is_never_just_any_codec_of_python():
    assert encodings(b"idna\\unicode_escape\\ISO_IR 192") == ["iso8859", "iso8859", "UTF8"]


@given(st.binary(max_size=60), st.binary(max_size=40), st.sampled_from([b"PN", b"LO", b"UT", b"CS", b"FD", b"??"]))
def test_any_bytes_make_a_text_that_a_database_holds(value, charset, vr):
    read = text(Element(vr, value), b"LO", charset, big_endian=False)
    assert "\0" not in read
    read.encode()


@given(st.binary(max_size=60), st.sampled_from([b"\\ISO 2022 IR 87\\ISO 2022 IR 159", b"\\ISO 2022 IR 149"]))
def test_any_escapes_make_a_text(value, charset):
    text(Element(b"PN", b"\x1b$B" + value + b"\x1b(B"), b"PN", charset, big_endian=False).encode()

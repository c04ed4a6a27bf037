import stat
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import UserError
from libs.common.facts import Encoding
from libs.common.spans import decode
from services.extractor.limits import Budget, Limits
from services.extractor.members import ENCRYPTED, Found
from services.extractor.zips import find_directory, has_end, list_entries
from tests.builders_archives import DICOM, patched_zip, streamed_zip_bytes, with_zip64_end, zip64_bytes, zip_bytes

LIMITS = Limits()
FILES = {"a/one.dcm": DICOM, "a/two.dcm": b"short", "three": bytes(3000)}


def listed(body: bytes, limits: Limits = LIMITS, folder: str = "") -> list[Found]:
    archive = Found(0, "x.zip", "k", 0, len(body), len(body), Encoding.PLAIN)
    where = find_directory(body, len(body))
    directory = body[where.start : where.start + where.size_bytes]
    return list_entries(directory, where, archive, folder, Budget(limits, len(body)))


def contents(body: bytes) -> dict[str, bytes]:
    """What a reader of spans gets."""
    view = memoryview(body)
    return {m.path: bytes(decode(m, view[m.offset : m.offset + m.span_bytes])) for m in listed(body) if not m.skipped}


def code_of(body: bytes) -> str:
    with pytest.raises(UserError) as refused:
        listed(body)
    return refused.value.code


@pytest.mark.parametrize(
    "body",
    [
        zip_bytes(FILES),
        zip_bytes(FILES, zipfile.ZIP_STORED),
        zip64_bytes(FILES),
        with_zip64_end(zip_bytes(FILES)),
        streamed_zip_bytes(FILES),
        b"MZ a program that unpacks itself" * 100 + zip_bytes(FILES),
        b"MZ a program that unpacks itself" * 100 + zip64_bytes(FILES),
        zip_bytes(FILES) + b"something appended",
        zip_bytes(FILES)[:-2] + b"\x0b\x00a\0PK\5\6comment"[:13],
    ],
    ids=["deflated", "stored", "zip64", "zip64-end", "descriptors", "prefix", "zip64-prefix", "appended", "comment"],
)
def test_every_member_is_found_with_its_bytes(body: bytes) -> None:
    assert contents(body) == FILES


def test_members_come_in_order_of_place_and_below_their_folder() -> None:
    found = listed(zip_bytes(FILES), folder="outer.zip/")
    assert [m.path for m in found] == [f"outer.zip/{name}" for name in FILES]
    assert [m.offset for m in found] == sorted(m.offset for m in found)


def test_an_empty_zip_and_folders_have_no_members() -> None:
    assert listed(zip_bytes({})) == []
    assert listed(zip_bytes({"a/": b"", "b\\": b""})) == []


def test_equal_names_are_members_each() -> None:
    body = zip_bytes({"a.dcm": b"one", "b.dcm": b"two"}).replace(b"b.dcm", b"a.dcm")
    assert [m.path for m in listed(body)] == ["a.dcm", "a.dcm"]


@pytest.mark.parametrize(
    ("name", "path"),
    [("Müller.dcm".encode(), "Müller.dcm"), (b"M\x81ller.dcm", "Müller.dcm")],
    ids=["UTF-8 without its flag", "code page 437"],
)
def test_names_that_are_not_flagged_as_utf8_are_read_as_people_write_them(name: bytes, path: str) -> None:
    body = zip_bytes({"x" * len(name): b"1"}).replace(b"x" * len(name), name)
    assert [m.path for m in listed(body)] == [path]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"flags": 1}, ENCRYPTED),
        ({"flags": 1, "method": 99}, ENCRYPTED),
        ({"method": 9}, "compressed by method 9 (Deflate64), which is not read here"),
        ({"method": 77}, "compressed by method 77 (unknown), which is not read here"),
        ({"method": 0, "size": 4}, "damaged: the zip states two sizes for it"),
        ({"size": 0}, "empty"),
    ],
)
def test_a_member_that_cannot_be_read_is_skipped_with_its_reason(values: dict[str, int], reason: str) -> None:
    first, second = listed(patched_zip(zip_bytes({"a": DICOM, "b": DICOM}), **values))
    assert (first.skipped, second.skipped) == (reason, "")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_refuse_the_whole_zip(kind: int) -> None:
    body = zip_bytes({"a": b"/etc/passwd", "b": DICOM})
    assert code_of(patched_zip(body, host=3, attributes=(kind | 0o777) << 16)) == "unsafe-member"
    assert len(listed(patched_zip(body, host=0, attributes=(kind | 0o777) << 16))) == 2


@pytest.mark.parametrize("name", ["../a", "/a", "a\\..\\..\\b", "C:\\a"])
def test_a_name_that_escapes_refuses_the_whole_zip(name: str) -> None:
    assert code_of(zip_bytes({"good.dcm": DICOM, name: b"x"})) == "unsafe-member"


def test_members_that_share_bytes_are_refused() -> None:
    body = zip_bytes({"a": bytes(500), "b": bytes(500)}, zipfile.ZIP_STORED)
    assert code_of(patched_zip(body, packed=600, size=600)) == "overlapping-members"
    assert code_of(patched_zip(body, offset=500 + 31)) == "overlapping-members"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (zip_bytes(FILES)[:-30], "truncated-archive"),
        (zip_bytes(FILES)[:200], "truncated-archive"),
        (zip_bytes(FILES)[100:], "damaged-archive"),
        (patched_zip(zip_bytes({"a": b"x"}), offset=5000), "damaged-archive"),
        (patched_zip(zip_bytes({"a": b"x"}), packed=5000), "damaged-archive"),
        (patched_zip(zip_bytes({"a": b"x"}), offset=0xFFFFFFFF), "damaged-archive"),
        (zip_bytes({"a": b"x", "b": b"y"}).replace(b"PK\1\2", b"PK\1\3"), "damaged-archive"),
    ],
)
def test_a_broken_zip_is_refused(body: bytes, code: str) -> None:
    assert code_of(body) == code


def test_a_stated_size_beyond_the_limit_is_refused_before_anything_is_unpacked() -> None:
    body = patched_zip(zip_bytes({"a": DICOM}), size=5000)
    with pytest.raises(UserError) as refused:
        listed(body, Limits(size_bytes=4999))
    assert refused.value.code == "limit-size"


def test_a_span_does_not_grow_with_a_gap_behind_its_member() -> None:
    body = zip_bytes({"a": b"1", "b": b"2"})
    second = body.rindex(b"PK\3\4")
    gap = bytes(1 << 20)
    end = body.rindex(b"PK\5\6")
    moved = bytearray(body[:second] + gap + body[second:])
    for at in (moved.rindex(b"PK\1\2") + 42, end + len(gap) + 16):
        moved[at : at + 4] = (int.from_bytes(moved[at : at + 4], "little") + len(gap)).to_bytes(4, "little")
    assert contents(bytes(moved)) == {"a": b"1", "b": b"2"}
    assert listed(bytes(moved))[0].span_bytes < 70_000


@given(st.data())
def test_a_flipped_byte_never_crashes_the_listing(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([zip_bytes(FILES), zip64_bytes(FILES), streamed_zip_bytes(FILES)])))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(body.index(b"PK\1\2"), len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    try:
        found = listed(bytes(body))
    except UserError:
        return
    assert all(m.offset >= 0 and m.offset + m.span_bytes <= len(body) for m in found)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_zip_or_refused(body: bytes) -> None:
    body += b"PK\x05\x06" * has_end(body)
    code = ""
    try:
        listed(body)
    except UserError as error:
        code = error.code
    assert code in {"", "truncated-archive", "damaged-archive", "limit-count"}

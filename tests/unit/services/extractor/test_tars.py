import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import UserError
from libs.common.facts import Encoding
from services.extractor.limits import Budget, Limits
from services.extractor.members import Found
from services.extractor.tars import TarWalk
from tests.builders_archives import DICOM, tar_bytes, tar_entry, tar_with

LIMITS = Limits()
FILES = {"a/one.dcm": DICOM, "two": b"short", "b" * 90 + "/" + "c" * 90 + ".dcm": bytes(512), "d/" * 80 + "ü.dcm": b"x"}


def walked(body: bytes, piece_bytes: int = 1 << 20, limits: Limits = LIMITS) -> list[Found]:
    walk = TarWalk(Found(0, "x.tar", "k", 1000, len(body), len(body), Encoding.PLAIN), "x.tar/", Budget(limits, 1))
    for position in range(0, len(body), piece_bytes):
        walk.feed(position, memoryview(body)[position : position + piece_bytes])
    walk.close(len(body))
    return walk.found


def skipped_to(body: bytes) -> list[Found]:
    """As from a store: only the bytes that are wanted."""
    walk = TarWalk(Found(0, "x.tar", "k", 1000, len(body), len(body), Encoding.PLAIN), "x.tar/", Budget(LIMITS, 1))
    while not walk.ended and walk.wanted < len(body):
        walk.feed(walk.wanted, memoryview(body)[walk.wanted : walk.wanted + 512])
    walk.close(len(body))
    return walk.found


def code_of(body: bytes) -> str:
    with pytest.raises(UserError) as refused:
        walked(body)
    return refused.value.code


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("piece_bytes", [100, 512, 700, 1 << 20])
def test_every_member_is_found_with_its_bytes(format_: int, piece_bytes: int) -> None:
    body = tar_bytes(FILES, format_)
    found = walked(body, piece_bytes)
    assert {m.path: body[m.offset - 1000 :][: m.size_bytes] for m in found} == {
        f"x.tar/{k}": v for k, v in FILES.items()
    }
    assert skipped_to(body) == found


def test_ustar_names_have_a_prefix() -> None:
    name = "b" * 90 + "/" + "c" * 90
    assert [m.path for m in walked(tar_bytes({name: DICOM}, tarfile.USTAR_FORMAT))] == [f"x.tar/{name}"]


def test_a_tar_that_ends_after_its_last_member_is_whole() -> None:
    body = tar_bytes({"a": b"x"}, tarfile.USTAR_FORMAT)
    assert len(walked(body[:1024])) == 1
    assert len(walked(body[: 512 + 1])) == 1
    assert len(walked(body + tar_bytes({"b": b"x"}))) == 1


@pytest.mark.parametrize("length", [100, 700, 512 + len(DICOM) - 1, 512 + -(-len(DICOM) // 512) * 512 + 100])
def test_a_tar_that_breaks_off_is_refused(length: int) -> None:
    assert code_of(tar_bytes({"a": DICOM, "b": DICOM}, tarfile.USTAR_FORMAT)[:length]) == "truncated-archive"


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_that_breaks_off_in_a_long_name_is_refused(format_: int) -> None:
    body = tar_bytes({"a" * 200: DICOM}, format_)
    assert {code_of(body[:length]) for length in (512, 600, 1024)} == {"truncated-archive"}


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=str
)
def test_links_and_devices_refuse_the_whole_tar(kind: bytes) -> None:
    assert code_of(tar_with(tar_entry("x", kind, "/etc/passwd"))) == "unsafe-member"


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../../b", "a\\..\\..\\b", "C:\\a", "../" + "a" * 200, "/" + "a" * 200]
)
@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_that_escapes_refuses_the_whole_tar(name: str, format_: int) -> None:
    with pytest.raises(UserError) as refused:
        walked(tar_with(tar_entry(name), format_=format_))
    assert refused.value.code == "unsafe-member"
    assert refused.value.detail.startswith("member 2 ")


def test_folders_are_no_members_and_empty_files_are_skipped() -> None:
    found = walked(tar_with(tar_entry("folder", tarfile.DIRTYPE), tar_entry("empty.dcm"), tar_entry("a/._b")))
    assert [(m.path, m.skipped) for m in found] == [
        ("x.tar/good.dcm", ""),
        ("x.tar/empty.dcm", "empty"),
        ("x.tar/a/._b", "junk: a folder dropping of macOS"),
    ]


def test_a_size_in_a_pax_record_counts() -> None:
    header = tarfile.TarInfo("big.dcm")
    header.pax_headers = {"size": "1000"}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(header)
        file.write(bytes(1024))
        archive.offset += 1024
        archive.addfile(tar_entry("next.dcm"))
    assert [(m.path, m.size_bytes) for m in walked(file.getvalue())] == [("x.tar/big.dcm", 1000), ("x.tar/next.dcm", 0)]


@pytest.mark.parametrize("size", ["-5", "1e3", "9" * 30, "x"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    header = tarfile.TarInfo("a")
    header.pax_headers = {"size": size}
    assert code_of(tar_with(header)) == "damaged-archive"


@pytest.mark.parametrize("extended", [0, 1])
def test_a_sparse_file_is_skipped_and_what_follows_is_found(extended: int) -> None:
    sparse = tar_entry("sparse", tarfile.GNUTYPE_SPARSE)
    block = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"00000000144\0"  # 100 bytes are stored
    block[482] = extended
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
    maps = bytes(512) * extended
    body = bytes(block) + maps + b"x" * 100 + bytes(412) + tar_bytes({"next.dcm": DICOM})
    found = walked(body)
    assert [(m.path, bool(m.skipped)) for m in found] == [("x.tar/sparse", True), ("x.tar/next.dcm", False)]


def test_a_number_of_members_beyond_the_limit_is_refused() -> None:
    with pytest.raises(UserError) as refused:
        walked(tar_bytes({"a": b"1", "b": b"2"}), limits=Limits(members=1))
    assert refused.value.code == "limit-count"


@given(st.data())
def test_a_flipped_byte_never_crashes_the_walk(data: st.DataObject) -> None:
    format_ = data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    body = bytearray(tar_bytes({"a" * 150: b"1", "b.dcm": b"2"}, format_))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))
    try:
        found = walked(bytes(body))
    except UserError:
        return
    assert all(m.offset + m.span_bytes <= 1000 + len(body) for m in found)


@given(st.binary(max_size=1200), st.integers(1, 600))
def test_any_bytes_are_a_tar_or_refused(body: bytes, piece_bytes: int) -> None:
    code = ""
    try:
        walked(body, piece_bytes)
    except UserError as error:
        code = error.code
    assert code in {"", "truncated-archive", "damaged-archive"}

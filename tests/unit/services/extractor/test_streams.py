import bz2
import gzip
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import UserError
from libs.common.facts import Encoding, Member
from services.extractor.formats import Format
from services.extractor.streams import PIECE_BYTES, Compressed, Layer, ZipMember, through
from tests.builders_archives import DICOM, zip_bytes

PACK: dict[Format, Callable[[bytes], bytes]] = {Format.GZIP: gzip.compress, Format.BZIP2: bz2.compress}
KINDS = pytest.mark.parametrize("kind", PACK)


def unpacked(layers: list[Layer], packed: bytes, piece_bytes: int) -> bytes:
    pieces = [packed[at : at + piece_bytes] for at in range(0, len(packed), piece_bytes)]
    body = b"".join(b"".join(through(layers, piece)) for piece in pieces)
    for layer in layers:
        layer.close()
    return body


def code_of(layers: list[Layer], packed: bytes) -> str:
    with pytest.raises(UserError) as refused:
        unpacked(layers, packed, 1000)
    return refused.value.code


def zip_member(body: bytes, method: int = zipfile.ZIP_DEFLATED, crc32: int = 0) -> tuple[Member, bytes]:
    packed = zip_bytes({"name": body}, method)
    end = packed.index(b"PK\1\2")
    crc32 = crc32 or int.from_bytes(packed[end + 16 : end + 20], "little")
    encoding = Encoding.ZIP_DEFLATED if method else Encoding.ZIP_STORED
    return Member(0, "name", "k", 0, end, len(body), encoding, crc32), packed[:end]


@KINDS
@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 1 << 20])
def test_streams_behind_each_other_are_one_and_what_follows_is_ignored(kind: Format, piece_bytes: int) -> None:
    packed = PACK[kind](DICOM) + PACK[kind](b"") + PACK[kind](b"more")
    assert unpacked([Compressed(kind)], packed, piece_bytes) == DICOM + b"more"
    assert unpacked([Compressed(kind)], packed + bytes(600), piece_bytes) == DICOM + b"more"
    assert unpacked([Compressed(kind)], packed + b"garbage", piece_bytes) == DICOM + b"more"


@KINDS
def test_a_stream_that_breaks_off_is_refused(kind: Format) -> None:
    packed = PACK[kind](DICOM)
    assert {code_of([Compressed(kind)], packed[:n]) for n in (0, 5, len(packed) - 1)} == {"truncated-archive"}
    assert code_of([Compressed(kind)], packed + packed[:-1]) == "truncated-archive"


@KINDS
def test_a_broken_stream_is_refused(kind: Format) -> None:
    packed = bytearray(PACK[kind](DICOM))
    packed[-6] ^= 0xFF
    assert code_of([Compressed(kind)], bytes(packed)) == "damaged-archive"


@KINDS
def test_a_bomb_comes_in_small_pieces(kind: Format) -> None:
    packed = PACK[kind](bytes(20 << 20))
    pieces = Compressed(kind).feed(packed)
    assert max(len(next(pieces)) for _ in range(10)) <= PIECE_BYTES


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
def test_a_member_of_a_zip_comes_out_also_through_a_second_layer(method: int, piece_bytes: int) -> None:
    member, span = zip_member(DICOM, method)
    assert unpacked([ZipMember(member)], span + b"the next member", piece_bytes) == DICOM
    member, span = zip_member(gzip.compress(DICOM), method)
    assert unpacked([ZipMember(member), Compressed(Format.GZIP)], span, piece_bytes) == DICOM


def test_a_member_that_is_not_what_the_zip_states_is_refused() -> None:
    member, span = zip_member(DICOM)
    broken = bytearray(span)
    broken[60] ^= 0xFF
    assert code_of([ZipMember(member)], b"not a header" * 10) == "damaged-archive"
    assert code_of([ZipMember(member)], bytes(broken)) in {"damaged-archive", "truncated-archive"}
    assert code_of([ZipMember(member)], span[:50]) == "truncated-archive"
    assert code_of([ZipMember(zip_member(DICOM, crc32=1)[0])], span) == "damaged-archive"
    assert code_of([ZipMember(zip_member(DICOM[:-1])[0])], span) == "damaged-archive"


@KINDS
@given(body=st.binary(max_size=300), piece_bytes=st.integers(1, 40))
def test_any_bytes_are_a_stream_or_refused(kind: Format, body: bytes, piece_bytes: int) -> None:
    code = ""
    try:
        unpacked([Compressed(kind)], PACK[kind](b"x")[:4] + body, piece_bytes)
    except UserError as error:
        code = error.code
    assert code in {"", "truncated-archive", "damaged-archive"}

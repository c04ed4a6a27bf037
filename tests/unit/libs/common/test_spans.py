import contextlib
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.facts import Encoding, Member
from libs.common.spans import GAP_BYTES, PART_BYTES, READ_BYTES, Damaged, decode, decode_head, decode_pieces, plan


def member(offset: int, span: int, ordinal: int = 0, key: str = "k") -> Member:
    return Member(ordinal, "p", key, offset, span, span, Encoding.PLAIN)


def zipped(body: bytes, method: int) -> tuple[Member, bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("name.dcm", body)
        info = archive.infolist()[0]
        end = archive.start_dir
    encoding = Encoding.ZIP_DEFLATED if method else Encoding.ZIP_STORED
    return Member(0, "name.dcm", "k", 0, end, len(body), encoding, info.CRC), buffer.getvalue()[:end]


BODY = bytes(range(256)) * 400


def test_close_members_are_one_request() -> None:
    (read,) = plan([member(0, 10), member(10 + GAP_BYTES - 1, 10)])
    assert (read.start, read.length, len(read.members)) == (0, GAP_BYTES + 19, 2)


@pytest.mark.parametrize("second", [member(10 + GAP_BYTES, 10), member(5, 10, key="other"), member(READ_BYTES, 10)])
def test_distant_or_other_members_are_requests_of_their_own(second: Member) -> None:
    assert len(plan([member(0, READ_BYTES if second.offset == READ_BYTES else 10), second])) == 2


def test_a_head_read_stops_early() -> None:
    (read,) = plan([member(0, 1 << 20)], head_bytes=1000)
    assert 1000 <= read.length < 3000


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_member_decodes_whole_in_part_and_in_pieces(method: int) -> None:
    found, span = zipped(BODY, method)
    assert decode(found, memoryview(span)) == BODY
    assert decode_head(found, memoryview(span)[:700], 300) == BODY[:300]
    pieces = [span[:600], *(span[i : i + 100] for i in range(600, len(span), 100))]
    assert b"".join(decode_pieces(found, pieces)) == BODY


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@given(st.data())
def test_a_flipped_byte_is_found(method: int, data: st.DataObject) -> None:
    found, span = zipped(BODY[:5000], method)
    at = data.draw(st.integers(38, len(span) - 1))
    broken = bytearray(span)
    broken[at] ^= 0x55
    for read in (lambda s: bytes(decode(found, memoryview(s))), lambda s: b"".join(decode_pieces(found, [bytes(s)]))):
        with contextlib.suppress(Damaged):  # bits behind the end of a deflate stream do not matter
            assert read(broken) == BODY[:5000]


def test_a_member_that_inflates_a_thousandfold_comes_in_bounded_parts() -> None:
    deflated, span = zipped(bytes(5 * PART_BYTES + 1), zipfile.ZIP_DEFLATED)
    parts = list(decode_pieces(deflated, [span]))
    assert len(span) < 10_000
    assert max(len(part) for part in parts) == PART_BYTES
    assert sum(len(part) for part in parts) == deflated.size_bytes


def test_a_member_that_inflates_to_more_than_stated_is_damaged() -> None:
    found, span = zipped(b"\0" * 100_000, zipfile.ZIP_DEFLATED)
    lying = Member(0, "p", "k", 0, found.span_bytes, 10, Encoding.ZIP_DEFLATED, None)
    with pytest.raises(Damaged):
        decode(lying, memoryview(span))
    with pytest.raises(Damaged):
        list(decode_pieces(lying, [span]))


def test_a_short_member_is_damaged() -> None:
    with pytest.raises(Damaged):
        decode(member(0, 10), memoryview(b"123"))

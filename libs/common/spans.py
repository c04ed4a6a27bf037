"""Reading members out of an upload: few large ranges, then each member's bytes out of its span (pure).

A member is (object, offset, length, encoding). Members that lie close together are read with one request.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from isal import isal_zlib
from isal.igzip_lib import IsalError as _IsalError

from libs.common.facts import Encoding, Member

GAP_BYTES = 256 << 10
"""Ranges closer than this are one request."""
PART_BYTES = 1 << 20
"""A streamed member is handed on in no larger parts."""
READ_BYTES = 8 << 20
"""No request is longer, unless one member is."""
ISAL_ERROR = cast("type[Exception]", _IsalError)
"""What isal raises; its stubs call it an instance."""
_LOCAL_HEADER_BYTES = 30
_LOCAL_NAMES_BYTES = 1 << 10
"""What a head read allows for a local header's name and extra field; a longer one costs a second read."""


class Damaged(Exception):  # noqa: N818 - a situation
    """The bytes are not what the container says; the text says how, without names."""


class Decompress(Protocol):
    """What isal's decompressor does here."""

    eof: bool
    unconsumed_tail: bytes

    def decompress(self, data: bytes | memoryview, max_length: int = ...) -> bytes:
        """Decoded bytes, at most `max_length` where given."""


@dataclass(frozen=True, slots=True)
class Read:
    """One request: `length` bytes of `object_key` from `start`, and the members that lie in them."""

    object_key: str
    start: int
    length: int
    members: tuple[Member, ...]

    def span(self, member: Member, body: memoryview) -> memoryview:
        """The part of the answer that holds `member`, or the beginning of it."""
        begin = member.offset - self.start
        return body[begin : begin + member.span_bytes]


def plan(members: Iterable[Member], head_bytes: int | None = None) -> list[Read]:
    """The requests that read `members`, whole or only the first `head_bytes` of each span, in order of place."""
    reads: list[Read] = []
    group: list[Member] = []
    start = end = 0
    for member in sorted(members, key=lambda m: (m.object_key, m.offset)):
        wanted = member.span_bytes
        if head_bytes is not None:
            wanted = min(wanted, head_bytes + _LOCAL_HEADER_BYTES + _LOCAL_NAMES_BYTES)
        stop = member.offset + wanted
        joins = group and group[-1].object_key == member.object_key
        if joins and member.offset - end < GAP_BYTES and max(stop, end) - start <= READ_BYTES:
            group.append(member)
            end = max(end, stop)
            continue
        if group:
            reads.append(Read(group[0].object_key, start, end - start, tuple(group)))
        group, start, end = [member], member.offset, stop
    if group:
        reads.append(Read(group[0].object_key, start, end - start, tuple(group)))
    return reads


def decode(member: Member, span: memoryview) -> bytes | memoryview:
    """The member's bytes out of its whole span, checked against size and CRC-32. Raises `Damaged`."""
    if member.encoding is Encoding.PLAIN:
        body: bytes | memoryview = span[: member.size_bytes]
    else:
        payload = span[payload_offset(span) :]
        body = payload[: member.size_bytes] if member.encoding is Encoding.ZIP_STORED else _inflate(member, payload)
    if len(body) != member.size_bytes:
        raise Damaged(f"it holds {len(body)} of {member.size_bytes} bytes")
    if member.crc32 is not None and isal_zlib.crc32(body) != member.crc32:
        raise Damaged("its CRC-32 is not the one that the archive states")
    return body


def decode_head(member: Member, span: memoryview, limit: int) -> bytes:
    """At most `limit` decoded bytes from the member's beginning, as far as `span` reaches. Raises `Damaged`."""
    if member.encoding is Encoding.PLAIN:
        return bytes(span[: min(limit, member.size_bytes)])
    payload = span[payload_offset(span) :]
    if member.encoding is Encoding.ZIP_STORED:
        return bytes(payload[: min(limit, member.size_bytes)])
    try:
        return isal_zlib.decompressobj(wbits=-15).decompress(payload, limit)
    except ISAL_ERROR as error:
        raise Damaged("its deflate stream is broken") from error


def decode_pieces(member: Member, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The member's bytes part by part, for members too large for memory; checked at the end. Raises `Damaged`.

    `pieces` are the span's bytes in order, the first at least as long as a local header with its names.
    """
    size = crc = 0
    for part in _parts(member, pieces):
        size += len(part)
        if size > member.size_bytes:
            raise Damaged("it inflates to more bytes than the archive states")
        crc = isal_zlib.crc32(part, crc)
        yield part
    if size != member.size_bytes:
        raise Damaged(f"it holds {size} of {member.size_bytes} bytes")
    if member.crc32 is not None and crc != member.crc32:
        raise Damaged("its CRC-32 is not the one that the archive states")


def _parts(member: Member, pieces: Iterable[bytes]) -> Iterator[bytes]:
    inflate = isal_zlib.decompressobj(wbits=-15) if member.encoding is Encoding.ZIP_DEFLATED else None
    header, left = member.encoding is not Encoding.PLAIN, member.size_bytes
    for piece in pieces:
        body = memoryview(piece)
        if header:
            body, header = body[payload_offset(body) :], False
        if inflate is not None:
            yield from _inflated(inflate, body)
        elif left:
            yield bytes(body[:left])
            left -= min(left, len(body))


def _inflated(inflate: Decompress, body: bytes | memoryview) -> Iterator[bytes]:
    """What `body` inflates to, in parts of at most `PART_BYTES`: a few bytes can hold a thousand times as many."""
    while not inflate.eof:
        try:
            part = inflate.decompress(body, PART_BYTES)
        except ISAL_ERROR as error:
            raise Damaged("its deflate stream is broken") from error
        yield part
        body = inflate.unconsumed_tail
        if not body and len(part) < PART_BYTES:
            return


def _inflate(member: Member, payload: memoryview) -> bytes:
    inflate = isal_zlib.decompressobj(wbits=-15)
    try:
        body = bytes(inflate.decompress(payload, member.size_bytes + 1))
    except ISAL_ERROR as error:
        raise Damaged("its deflate stream is broken") from error
    if len(body) > member.size_bytes:
        raise Damaged("it inflates to more bytes than the archive states")
    return body


def payload_offset(span: memoryview) -> int:
    """Where the data begins behind a local file header (APPNOTE 4.3.7). Raises `Damaged`."""
    if bytes(span[:4]) != b"PK\x03\x04" or len(span) < _LOCAL_HEADER_BYTES:
        raise Damaged("there is no local file header where the archive says")
    name, extra = int.from_bytes(span[26:28], "little"), int.from_bytes(span[28:30], "little")
    return _LOCAL_HEADER_BYTES + name + extra

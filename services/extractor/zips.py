"""Listing a zip from its central directory (pure): PKWARE's APPNOTE 6.3.10, whose sections are cited.

The standard library's reader wants a seekable file; this one needs the directory's bytes alone (ADR 7).
"""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from libs.common.errors import UserError
from libs.common.facts import Encoding
from services.extractor.limits import Budget
from services.extractor.members import ENCRYPTED, Found, member_path, skip_reason, unsafe

TAIL_BYTES = 1 << 20
"""Read first: it holds the directory of some 8,000 members, and always the records behind it."""
DIRECTORY_BYTES = 256 << 20

_END = struct.Struct("<4s4H2LH")
"""4.3.16 End of central directory record."""
_LOCATOR = struct.Struct("<4sLQL")
"""4.3.15 Zip64 end of central directory locator."""
_END64 = struct.Struct("<4sQ2H2L4Q")
"""4.3.14 Zip64 end of central directory record."""
_ENTRY = struct.Struct("<4sBBHHHHHLLLHHHHHLL")
"""4.3.12 Central directory header."""
_LOCAL_HEADER_BYTES = 30
_EXTRA_BYTES = 0xFFFF
_DESCRIPTOR_BYTES = 24
_SATURATED = 0xFFFFFFFF
_UNIX_MAKERS = frozenset({3, 19})
"""4.4.2.2: hosts whose external attributes hold a file mode."""
_ENCODINGS = {0: Encoding.ZIP_STORED, 8: Encoding.ZIP_DEFLATED}
_METHODS = {1: "shrink", 6: "implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
"""4.4.5, those that people meet."""


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory lies; `shift` is the length of what was put before the zip."""

    start: int
    size_bytes: int
    shift: int


def has_end(tail: bytes) -> bool:
    """Whether a zip ends in `tail`: so does a self-extracting one that begins with a program."""
    return _find_end(tail) is not None


def find_directory(tail: bytes, size_bytes: int) -> Directory:
    """The central directory of a zip of `size_bytes` bytes that ends in `tail`.

    Raises:
        UserError: there is none (the upload broke off), or it cannot be where the zip says.
    """
    at = _find_end(tail)
    if at is None:
        raise UserError("truncated-archive", "the zip has no central directory: its end is missing")
    *_, length, offset, _ = _END.unpack_from(tail, at)
    at64 = at - _LOCATOR.size - _END64.size
    if at64 >= 0 and tail[at - _LOCATOR.size :].startswith(b"PK\x06\x07") and tail[at64:].startswith(b"PK\x06\x06"):
        *_, length, offset = _END64.unpack_from(tail, at64)
        at = at64
    start = size_bytes - len(tail) + at - length
    if start < offset:
        raise UserError("damaged-archive", "the zip's central directory is not where the zip says")
    if length > DIRECTORY_BYTES:
        raise UserError(
            "limit-count", f"the zip's central directory is longer than {DIRECTORY_BYTES} bytes: send it in parts"
        )
    return Directory(start, length, start - offset)


def _find_end(tail: bytes) -> int | None:
    """The last end record whose comment reaches the end of the file; else the last at all: something was appended."""
    first = max(0, len(tail) - _END.size - 0xFFFF)
    last = at = tail.rfind(b"PK\x05\x06", first)
    while at >= 0:
        if at + _END.size <= len(tail):
            if at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
                return at
        else:
            last = tail.rfind(b"PK\x05\x06", first, at)
        at = tail.rfind(b"PK\x05\x06", first, at)
    return last if last >= 0 else None


def list_entries(directory: bytes, where: Directory, archive: Found, folder: str, budget: Budget) -> list[Found]:
    """The files of the zip that lies plain at `archive`, in order of place; paths begin with `folder`.

    Raises:
        UserError: a member is unsafe, members overlap, a limit is passed, or the directory is damaged.
    """
    found: list[Found] = []
    entries = sorted(_entries(directory, budget), key=lambda entry: entry.offset)
    end = where.start
    while entries:
        entry = entries.pop()
        begin = entry.offset + where.shift
        if begin + _LOCAL_HEADER_BYTES + entry.packed_bytes > end:
            code = "damaged-archive" if end == where.start else "overlapping-members"
            raise UserError(code, f"member {entry.number} of the zip does not lie where the zip says")
        if path := _checked_path(entry):
            found.append(_found(entry, path, begin, end, archive, folder))
        end = begin
    found.reverse()
    return found


class _Entry(NamedTuple):
    number: int
    name: bytes
    is_utf8: bool
    is_encrypted: bool
    method: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    mode: int
    offset: int


def _entries(directory: bytes, budget: Budget) -> Iterator[_Entry]:
    at = number = 0
    while at < len(directory):
        number += 1
        if at + _ENTRY.size > len(directory) or directory[at : at + 4] != b"PK\x01\x02":
            raise UserError("damaged-archive", f"the zip's central directory breaks off at member {number}")
        (_, _, maker, _, flags, method, _, _, crc32, packed, size, name_length, extra_length, comment_length, _, _,
         attributes, offset) = _ENTRY.unpack_from(directory, at)  # fmt: skip
        at += _ENTRY.size
        name = directory[at : at + name_length]
        extra = directory[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        sizes = [size, packed, offset]
        if _SATURATED in sizes:
            sizes = _zip64_sizes(sizes, extra, number)
        budget.spend(sizes[0], 1)
        mode = attributes >> 16 if maker in _UNIX_MAKERS else 0
        yield _Entry(
            number, name, bool(flags & 0x800), bool(flags & 1), method, crc32, sizes[1], sizes[0], mode, sizes[2]
        )


def _zip64_sizes(sizes: list[int], extra: bytes, number: int) -> list[int]:
    """4.5.3: the extra field holds, in this order, only those values that are saturated in the header."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        values = extra[at + 4 : at + 4 + length]
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{len(values) // 8}Q", values))
            return [next(wide, value) if value == _SATURATED else value for value in sizes]
        at += 4 + length
    if sizes[2] == _SATURATED:
        raise UserError("damaged-archive", f"member {number} of the zip has no place")
    return sizes


def _checked_path(entry: _Entry) -> str:
    """The path of a file; "" for a folder."""
    kind = stat.S_IFMT(entry.mode)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise unsafe(entry.number, "is a link or a device")
    path = member_path(_text(entry), entry.number)
    is_folder = entry.name.endswith((b"/", b"\\")) or kind == stat.S_IFDIR
    return "" if is_folder else path


def _text(entry: _Entry) -> str:
    """Names are UTF-8 if flagged (Appendix D), and often if not; else code page 437."""
    try:
        return entry.name.decode("utf-8", "replace" if entry.is_utf8 else "strict")
    except UnicodeDecodeError:
        return entry.name.decode("cp437")


def _found(entry: _Entry, path: str, begin: int, end: int, archive: Found, folder: str) -> Found:
    longest = _LOCAL_HEADER_BYTES + len(entry.name) + _EXTRA_BYTES + entry.packed_bytes + _DESCRIPTOR_BYTES
    return Found(
        ordinal=entry.number,
        path=folder + path,
        object_key=archive.object_key,
        offset=archive.offset + begin,
        span_bytes=min(end - begin, longest),
        size_bytes=entry.size_bytes,
        encoding=_ENCODINGS.get(entry.method, Encoding.ZIP_STORED),
        crc32=entry.crc32,
        skipped=skip_reason(path, entry.size_bytes) or _unreadable(entry),
    )


def _unreadable(entry: _Entry) -> str:
    if entry.is_encrypted:
        return ENCRYPTED
    if entry.method not in _ENCODINGS:
        name = _METHODS.get(entry.method, "unknown")
        return f"compressed by method {entry.method} ({name}), which is not read here"
    if entry.method == 0 and entry.size_bytes != entry.packed_bytes:
        return "damaged: the zip states two sizes for it"
    return ""

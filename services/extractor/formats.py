"""What the bytes of an upload, or of a member of one, are: told by content, never by name (pure)."""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from libs.common.errors import UserError


class Format(StrEnum):
    """What Scandock can open or archive; everything else is `UNKNOWN`."""

    ZIP = "zip"
    """Also XAR, which is a zip (import semantics §3.6)."""
    TAR = "tar"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    DICOM = "DICOM"
    ECAT = "ECAT"
    UNKNOWN = "unknown"


HEAD_BYTES = 4096
"""How much of a beginning `recognise` wants to see."""
ACCEPTED = "zip, tar, tar.gz, tar.bz2, gz, bz2, or one DICOM file"
ARCHIVES = frozenset({Format.ZIP, Format.TAR, Format.GZIP, Format.BZIP2})
IMAGES = frozenset({Format.DICOM, Format.ECAT})

_BZIP2_BLOCKS = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")
"""The first block's magic, or the end of an empty stream: the first six digits of pi, or of its root."""
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08PK\x03\x04", b"PK00PK\x03\x04")
"""Local file header, end of an empty archive, markers of a (once) split archive: APPNOTE 4.3.7, 4.3.16, 8.5."""

_LOOKS: tuple[tuple[bytes, str], ...] = (
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\x00", "an xz stream"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard stream"),
    (b"\x04\x22\x4d\x18", "an LZ4 stream"),
    (b"\x1f\x9d", "a Unix compress stream"),
    (b"MSCF", "a cabinet archive"),
    (b"xar!", "an Apple XAR archive"),
    (b"PK", "something like a zip, without its beginning"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"BM", "a bitmap image"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"\xd0\xcf\x11\xe0", "an old Office document or Thumbs.db"),
    (b"\x89HDF", "an HDF5 file, such as MINC"),
    (b"\x5c\x01\x00\x00", "a NIfTI image"),
    (b"<?xml", "XML"),
    (b"<", "HTML or XML"),
    (b"{", "JSON"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)


def recognise(head: bytes, size_bytes: int) -> Format:
    """The format of `size_bytes` bytes that begin with `head` (`HEAD_BYTES` of them, or all if there are fewer)."""
    return next((kind for kind, is_kind in _TESTS if is_kind(head)), None) or (
        Format.DICOM if is_data_set(head, size_bytes) else Format.UNKNOWN
    )


def refusal(head: bytes) -> UserError:
    """The refusal of an upload that begins with `head`, neither an archive nor an image."""
    return UserError("not-an-archive", f"the upload looks like {describe(head)}; accepted are {ACCEPTED}")


def describe(head: bytes) -> str:
    """What bytes that are no accepted upload look like, for the sender."""
    for magic, text in _LOOKS:
        if head.startswith(magic):
            return text
    if not head.strip(b"\x00"):
        return "zero bytes"
    text = head.decode("utf-8", "replace")
    odd = sum(character == "\ufffd" or not (character.isprintable() or character.isspace()) for character in text)
    return "text" if odd * 20 <= len(text) else "no format known here"


def _is_tar(head: bytes) -> bool:
    if len(head) < tarfile.BLOCKSIZE:
        return False
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "replace")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


_TESTS: tuple[tuple[Format, Callable[[bytes], bool]], ...] = (
    (Format.ZIP, lambda head: head.startswith(_ZIP_STARTS)),
    (Format.GZIP, lambda head: head.startswith(b"\x1f\x8b\x08")),
    (Format.BZIP2, lambda head: head[:3] == b"BZh" and head[3:4].isdigit() and head[4:10] in _BZIP2_BLOCKS),
    (Format.DICOM, lambda head: head[128:132] == b"DICM"),  # PS3.10 §7.1
    (Format.ECAT, lambda head: head.startswith(b"MATRIX7")),
    (Format.TAR, _is_tar),
)
"""In this order: an archive may hold "DICM" at 128 in a name."""


# --- a data set without preamble (PS3.5 §7.1) ---------------------------------------------------------------------

_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Those with a 32-bit length behind two reserved bytes: PS3.5 §7.1.2."""
_UNDEFINED = 0xFFFFFFFF
_FIRST_GROUPS = frozenset({0x0002, 0x0008})
_ENOUGH_ELEMENTS = 3


@dataclass(frozen=True, slots=True)
class _Element:
    tag: tuple[int, int]
    length: int
    stop: int


def is_data_set(head: bytes, size_bytes: int) -> bool:
    """Whether `head` begins a DICOM data set without preamble, in any of the four uncompressed encodings."""
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    return any(
        _is_plausible(list(_elements(head, size_bytes, order, explicit)), size_bytes)
        for order in orders
        for explicit in (True, False)
    )


def _is_plausible(elements: list[_Element], size_bytes: int) -> bool:
    if not elements or elements[0].tag[0] not in _FIRST_GROUPS:
        return False
    tags = [element.tag for element in elements]
    if tags != sorted(set(tags)):
        return False
    last = elements[-1]
    return len(elements) >= _ENOUGH_ELEMENTS or last.stop == size_bytes or last.length == _UNDEFINED


def _elements(head: bytes, size_bytes: int, order: Literal["little", "big"], explicit: bool) -> Iterator[_Element]:
    """The first elements, as far as they make sense and their heads lie within `head`."""
    offset = 0
    for _ in range(_ENOUGH_ELEMENTS):
        if offset + 12 > len(head):
            return
        tag = int.from_bytes(head[offset : offset + 2], order), int.from_bytes(head[offset + 2 : offset + 4], order)
        vr = head[offset + 4 : offset + 6]
        if explicit and vr not in _VRS:
            return
        at, width = (offset + 4, 4) if not explicit else (offset + 8, 4) if vr in _LONG_VRS else (offset + 6, 2)
        length = int.from_bytes(head[at : at + width], order)
        stop = at + width + length
        if length == _UNDEFINED:
            yield _Element(tag, length, stop)
            return
        if stop > size_bytes:
            return
        yield _Element(tag, length, stop)
        offset = stop

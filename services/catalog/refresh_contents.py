"""Reading objects once: their digests, and what a DICOM file says of itself."""

import asyncio
import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from libs.common.storage import Missing, ObjectStore
from services.catalog.refresh import Contents, DicomFacts

warnings.filterwarnings("ignore", module="pydicom")  # they quote values of headers, which are nobody's to log

AT_ONCE = 8
HEAD_BYTES = 1 << 20
"""What is kept of each object while it is read: nearly all headers end before."""
LONGEST_BYTES = 16 << 20
"""Whose header is longer is taken for no DICOM, as in an import."""

_LAST_TAG = 0x00280008
_TAGS: list[int] = [0x00080016, 0x00080018, 0x00200013, _LAST_TAG]
_PREAMBLE_BYTES = 128
_ELEMENT_BYTES = 12  # the longest head of an element (PS3.5 §7.1.2)
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of a data set without preamble, in the usual byte order
_UID_LENGTH = 128
_SHORT_LENGTH = 64
_DAMAGE = (
    *(InvalidDicomError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError),
    *(BytesLengthException, NotImplementedError, RecursionError, AssertionError, struct.error, zlib.error),
)
"""What pydicom raises over damaged bytes; found with fuzzed ones."""
_MAX_FRAMES = 2**31 - 1


@dataclass
class _Reading:
    """An object on its way: digests of what has come, and its beginning."""

    md5: "hashlib._Hash" = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0
    head: bytearray = field(default_factory=bytearray)

    def update(self, chunk: bytes) -> None:
        self.md5.update(chunk)
        self.sha256.update(chunk)
        self.size += len(chunk)
        self.head += chunk[: HEAD_BYTES - len(self.head)]


async def read_all(store: ObjectStore, sizes: Mapping[str, int]) -> dict[str, Contents]:
    """The contents of objects by key; `sizes` are as listed. Those that are gone by now are left out."""
    waiting, found = iter(sizes.items()), dict[str, Contents]()

    async def work() -> None:
        for key, size in waiting:
            try:
                found[key] = await _read(store, key, size)
            except Missing:
                continue

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return found


async def _read(store: ObjectStore, key: str, size: int) -> Contents:
    reading = _Reading()
    if not size:
        await store.head(key)  # a folder that a client has drawn is listed as an empty object, but is none
    else:
        async for chunk in store.stream(key, 0, size):
            await asyncio.to_thread(reading.update, chunk)
    head = bytes(reading.head)
    facts = await asyncio.to_thread(read_dicom, head, is_whole=len(head) == reading.size)
    if isinstance(facts, TooShort):
        longer = await store.read(key, 0, min(size, LONGEST_BYTES))
        facts = await asyncio.to_thread(read_dicom, longer, is_whole=True)
    dicom = facts if isinstance(facts, DicomFacts) else None
    return Contents(reading.size, reading.md5.hexdigest(), reading.sha256.hexdigest(), dicom)


class TooShort:
    """The header goes on behind the bytes given."""


def read_dicom(head: bytes, *, is_whole: bool) -> DicomFacts | TooShort | None:
    """What the DICOM file that begins with `head` says of itself (PS3.10 §7); None for other files. Never raises.

    Files without preamble are read where they begin as a data set. One without a SOP Instance UID is no instance.
    """
    has_preamble = head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM"
    if not has_preamble and not head.startswith(_FIRST_GROUPS):
        return None
    source = io.BytesIO(head)
    try:
        ds = read_partial(source, _is_behind, force=not has_preamble, specific_tags=_TAGS)
        texts = [_text(ds, tag) for tag in _TAGS]
    except _DAMAGE:
        return None if is_whole else TooShort()
    if not is_whole and source.tell() + _ELEMENT_BYTES >= len(head):
        return TooShort()
    sop_class, sop, number, frames = texts
    if not (0 < len(sop) <= _UID_LENGTH and sop.isprintable()):
        return None
    return DicomFacts(sop, sop_class[:_UID_LENGTH], number[:_SHORT_LENGTH], _frames(frames))


def _is_behind(tag: BaseTag, vr: str | None, length: int) -> bool:
    return int(tag) > _LAST_TAG


def _text(ds: Dataset, tag: int) -> str:
    """An element's bytes as text: UI and IS are ASCII (PS3.5 §6.2)."""
    value = ds.get_item(tag).value if tag in ds else None
    return value.decode("ascii", "replace").strip("\0 ") if isinstance(value, bytes) else ""


def _frames(text: str) -> int:
    """NumberOfFrames, 1 where it is absent or nonsense."""
    return min(max(int(text), 1), _MAX_FRAMES) if text.isascii() and text.isdigit() and len(text) <= 12 else 1

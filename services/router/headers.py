"""What the first bytes of a DICOM file say about it (PS3.10 §7; pure)."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from libs.common.dicom_classes import resource_label
from libs.common.dicom_tags import format_tag, name_of, parse_tag, tag_of, vr_of
from libs.common.facts import Instance
from services.router.ecat import EcatHeader, is_ecat, read_ecat
from services.router.elements import Element, End, Syntax, Walk, walk
from services.router.signatures import looks_like
from services.router.texts import text


@dataclass(frozen=True, slots=True)
class Header:
    """A DICOM file's identity, and the text of its elements by keyword; empty ones are absent. Holds PHI.

    `extra` has the texts of the further elements that were asked for, by `(gggg,eeee)`; empty ones are "" there.
    """

    instance: Instance
    texts: Mapping[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_keyword(self) -> Mapping[str, str]:
        """All texts by keyword, or by `(gggg,eeee)` where the dictionary has none."""
        named = {name_of(parse_tag(tag)): text for tag, text in self.extra.items() if text}
        return {**self.texts, **named} if named else self.texts


@dataclass(frozen=True, slots=True)
class Incomplete:
    """The header goes on behind the bytes given; at least `needed_bytes` of the file may hold all of it."""

    needed_bytes: int


@dataclass(frozen=True, slots=True)
class NotDicom:
    """The file is not for the archive; `reason` says why, without PHI."""

    reason: str


# What is read: tag, VR (PS3.6), keyword. Identification §4.1, attributes §4.7.
_TABLE = """
00080005 CS SpecificCharacterSet
00080008 CS ImageType
00080016 UI SOPClassUID
00080018 UI SOPInstanceUID
00080020 DA StudyDate
00080021 DA SeriesDate
00080030 TM StudyTime
00080031 TM SeriesTime
00080050 SH AccessionNumber
00080060 CS Modality
00080070 LO Manufacturer
00080080 LO InstitutionName
00081010 SH StationName
00081030 LO StudyDescription
0008103E LO SeriesDescription
00081070 PN OperatorsName
00081090 LO ManufacturerModelName
00100010 PN PatientName
00100020 LO PatientID
00100030 DA PatientBirthDate
00101030 DS PatientWeight
001021B0 LT AdditionalPatientHistory
00104000 LT PatientComments
00180015 CS BodyPartExamined
00180020 CS ScanningSequence
00180021 CS SequenceVariant
00180022 CS ScanOptions
00180023 CS MRAcquisitionType
00180024 SH SequenceName
00180050 DS SliceThickness
00180080 DS RepetitionTime
00180081 DS EchoTime
00180082 DS InversionTime
00180086 IS EchoNumbers
00180087 DS MagneticFieldStrength
00180095 DS PixelBandwidth
00181030 LO ProtocolName
00181250 SH ReceiveCoilName
00181314 DS FlipAngle
00189075 CS DiffusionDirectionality
00189087 FD DiffusionBValue
00189089 FD DiffusionGradientOrientation
00189147 CS DiffusionAnisotropyType
0020000D UI StudyInstanceUID
0020000E UI SeriesInstanceUID
00200010 SH StudyID
00200011 IS SeriesNumber
00200013 IS InstanceNumber
00200037 DS ImageOrientationPatient
00280008 IS NumberOfFrames
00280010 US Rows
00280011 US Columns
00280030 DS PixelSpacing
00321060 LO RequestedProcedureDescription
00324000 LT StudyComments
"""
_WANTED = {
    int(tag, 16): (vr.encode(), keyword) for tag, vr, keyword in (line.split() for line in _TABLE.strip().splitlines())
}
_CHARSET = 0x00080005
_LAST_GROUP = 0x0032
_UIDS = {0x0020000D: "Study Instance UID", 0x0020000E: "Series Instance UID", 0x00080018: "SOP Instance UID"}
_BEFORE_PIXELS = 0x7FDF


class Wanted(NamedTuple):
    """What is looked for in a data set: elements by tag, those among them that are asked for beside the table."""

    elements: Mapping[int, object]
    extra: frozenset[int]
    last_group: int


@lru_cache(maxsize=64)
def wanted_with(extra: frozenset[int]) -> Wanted:
    """The elements of the table and these further ones."""
    return Wanted(_WANTED | dict.fromkeys(extra), extra, max(_LAST_GROUP, *(tag >> 16 for tag in extra), 0))


TABLE = wanted_with(frozenset())


def tags_behind_table(keywords: Iterable[str]) -> frozenset[int]:
    """The tags of those keywords that are not in the table; what is no keyword has none."""
    known = {keyword for _, keyword in _WANTED.values()}
    tags = (tag_of(keyword) for keyword in keywords if keyword not in known)
    return frozenset(tag for tag in tags if tag is not None)


_META = {0x00020002: None, 0x00020010: None}  # media storage class, transfer syntax (PS3.10 §7.1)
_META_CLASS, _META_SYNTAX = _META
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DIRECTORY_GROUP = 0x0004
_PREAMBLE_BYTES = 128
_MAGIC = b"DICM"
_FIRST_BYTES = 1 << 10  # no first element of a data set without preamble is longer

MARGIN_BYTES = 4 << 10
"""What is asked for behind the element at which the bytes ended."""
INFLATED_BYTES = 16 << 20
"""How far a deflated data set is unpacked."""
_UID_LENGTH = 128  # PS3.5 §9.1 allows 64; longer ones are met, but not so long that no index holds them
_SHORT_LENGTH = 64
_MAX_FRAMES = 2**31 - 1
_LONGEST_INTEGER = 12  # VR IS (PS3.5 §6.2)

DIRECTORY = NotDicom("DICOMDIR: a directory of files, not an image")
UNREADABLE = NotDicom("unreadable DICOM header")


def read_header(head: bytes, is_whole: bool, wanted: Wanted = TABLE) -> Header | EcatHeader | Incomplete | NotDicom:
    """The header of the file that begins with `head`; `is_whole` if these are all its bytes. Never raises.

    Files without preamble or file meta information are read if they plausibly are a data set (PS3.10 §7.1 requires
    both). Damage behind the elements that are needed does not matter.
    """
    if head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _MAGIC:
        return _read_file(head, _PREAMBLE_BYTES + 4, is_whole, wanted)
    if is_ecat(head) and (ecat := read_ecat(head)) is not None:
        return ecat
    if not is_whole and len(head) < _PREAMBLE_BYTES + 4:
        return Incomplete(_PREAMBLE_BYTES + MARGIN_BYTES)
    if not _begins_data_set(head):
        return NotDicom(f"not DICOM: {looks_like(head)}" if head else "empty file")
    read = _read_file(head, 0, is_whole, wanted)
    return NotDicom(f"not DICOM: {looks_like(head)}") if read == UNREADABLE else read


def _begins_data_set(head: bytes) -> bool:
    """Whether the first element is of group 0002, 0004 or 0008, and small, in any encoding."""
    syntax = _guess(head, "")
    group = int.from_bytes(head[:2], "big" if syntax.big_endian else "little")
    end_of_first = walk(head[:12], 0, syntax, {}, group).position
    return len(head) >= 12 and group in {0x0002, _DIRECTORY_GROUP, 0x0008} and 0 < end_of_first < _FIRST_BYTES


def _read_file(head: bytes, start: int, is_whole: bool, wanted: Wanted) -> Header | Incomplete | NotDicom:
    meta = walk(head, start, Syntax(big_endian=False, explicit=True), _META, 0x0002)
    if meta.end is not End.PASSED:
        return UNREADABLE if is_whole else Incomplete(meta.position + MARGIN_BYTES)
    if _uid(meta.elements.get(_META_CLASS)) == _DIRECTORY_CLASS:
        return DIRECTORY
    syntax_uid = _uid(meta.elements.get(_META_SYNTAX))
    if syntax_uid == _DEFLATED:
        return _read_deflated(head, meta.position, is_whole, wanted)
    syntax = _guess(head[meta.position : meta.position + 8], syntax_uid)
    return _read_data_set(_DataSet(head, meta.position, syntax, is_whole, bool(meta.elements), wanted))


def _read_deflated(head: bytes, start: int, is_whole: bool, wanted: Wanted) -> Header | Incomplete | NotDicom:
    """PS3.5 §A.5: the data set behind the file meta information is one deflate stream."""
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflate.decompress(head[start:], INFLATED_BYTES)
    except zlib.error:
        return UNREADABLE
    all_there = is_whole or inflate.eof or len(inflated) == INFLATED_BYTES
    read = _read_data_set(_DataSet(inflated, 0, _guess(inflated, ""), all_there, True, wanted))
    return Incomplete(2 * len(head)) if isinstance(read, Incomplete) else read


class _DataSet(NamedTuple):
    """Bytes with a data set in them; `is_whole` if it ends where they end, `has_meta` if a file says what it is."""

    data: bytes
    start: int
    syntax: Syntax
    is_whole: bool
    has_meta: bool
    wanted: Wanted


def _guess(data: bytes, syntax_uid: str) -> Syntax:
    """The encoding that the first element shows, whatever the transfer syntax says: that is wrong in real files."""
    big_endian = data[:1] == b"\0" if 0 in data[:2] else syntax_uid == _BIG_ENDIAN
    return Syntax(big_endian, explicit=data[4:6].isalpha() and data[4:6].isupper())


def _read_data_set(source: _DataSet) -> Header | Incomplete | NotDicom:
    data, start, syntax, is_whole, _, wanted = source
    found = walk(data, start, syntax, wanted.elements, wanted.last_group)
    if found.end is End.PASSED and not _UIDS.keys() <= found.elements.keys():
        further = walk(data, found.position, syntax, wanted.elements, _BEFORE_PIXELS)  # elements out of order
        found = Walk(found.elements | further.elements, further.end, further.position)
    if found.end is not End.PASSED and not is_whole:
        return Incomplete(found.position + MARGIN_BYTES)
    has_uids = _UIDS.keys() <= found.elements.keys()
    if not has_uids and (found.end is End.SHORT or not (found.elements or source.has_meta)):
        return UNREADABLE
    if int.from_bytes(data[start : start + 2], "big" if syntax.big_endian else "little") == _DIRECTORY_GROUP:
        return DIRECTORY
    return _header(found.elements, syntax.big_endian, wanted.extra)


def _header(elements: Mapping[int, Element], big_endian: bool, extra: frozenset[int]) -> Header | NotDicom:
    uids = [_uid(elements.get(tag)) for tag in _UIDS]
    for uid, name in zip(uids, _UIDS.values(), strict=True):
        if not 0 < len(uid) <= _UID_LENGTH:
            return NotDicom(f"{'malformed' if uid else 'no'} {name}")
    texts = _texts(elements, big_endian)
    study, series, sop = uids
    sop_class_uid = texts.get("SOPClassUID", "")[:_UID_LENGTH]
    instance = Instance(
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop,
        sop_class_uid=sop_class_uid,
        modality=texts.get("Modality", "")[:_SHORT_LENGTH],
        series_number=texts.get("SeriesNumber", "")[:_SHORT_LENGTH],
        instance_number=texts.get("InstanceNumber", "")[:_SHORT_LENGTH],
        number_of_frames=_frames(texts.get("NumberOfFrames", "")),
        resource_label=resource_label(sop_class_uid),
    )
    return Header(instance, texts, _extra(elements, big_endian, extra))


def _texts(elements: Mapping[int, Element], big_endian: bool) -> Mapping[str, str]:
    charset = elements[_CHARSET].value if _CHARSET in elements else b""
    texts = {}
    for tag, element in elements.items():
        if (known := _WANTED.get(tag)) and element.value and (value := text(element, known[0], charset, big_endian)):
            texts[known[1]] = value
    return texts


def _extra(elements: Mapping[int, Element], big_endian: bool, extra: frozenset[int]) -> dict[str, str]:
    charset = elements[_CHARSET].value if _CHARSET in elements else b""
    present = elements.keys() & extra
    return {format_tag(tag): text(elements[tag], vr_of(tag), charset, big_endian) for tag in sorted(present)}


def _uid(element: Element | None) -> str:
    return text(element, b"UI", b"", big_endian=False) if element else ""


def _frames(number: str) -> int:
    """NumberOfFrames, 1 where it is absent or nonsense."""
    is_number = number.isascii() and number.isdigit() and len(number) <= _LONGEST_INTEGER
    return min(max(int(number), 1), _MAX_FRAMES) if is_number else 1

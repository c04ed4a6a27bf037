"""Tags as rules write them: `(gggg,eeee)`, or a keyword of the data dictionary (PS3.6; pure)."""

import re
from functools import lru_cache

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),\s?([0-9A-Fa-f]{4})\)?")
_FIRST_GROUP = 0x0008
_LAST_GROUP = 0x7FDF
"""Before the pixels."""


def parse_tag(text: str) -> int:
    """The tag that `text` writes, group in the high 16 bits.

    Raises:
        ValueError: it is none, or of a group that no header has before its pixels; the text says so.
    """
    text = text.strip()
    match = _TAG.fullmatch(text)
    tag = int(match[1] + match[2], 16) if match else tag_for_keyword(text)
    if tag is None:
        raise ValueError(f"{text} is neither a tag such as (0008,103E) nor a DICOM keyword such as SeriesDescription")
    if not _FIRST_GROUP <= tag >> 16 <= _LAST_GROUP:
        raise ValueError(f"{format_tag(tag)} is not read: only groups 0008 to 7FDF are")
    return tag


def tag_of(keyword: str) -> int | None:
    """The tag of a keyword, None where it is none or its element is not read."""
    try:
        return parse_tag(keyword)
    except ValueError:
        return None


def format_tag(tag: int) -> str:
    """`(gggg,eeee)`, in capitals."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@lru_cache(maxsize=4096)
def vr_of(tag: int) -> bytes:
    """The VR that the dictionary gives; LO, which is text, where it knows none."""
    try:
        return dictionary_VR(tag)[:2].encode()
    except KeyError:
        return b"LO"


@lru_cache(maxsize=4096)
def name_of(tag: int) -> str:
    """The keyword, or `(gggg,eeee)` where the dictionary has none."""
    return keyword_for_tag(tag) or format_tag(tag)

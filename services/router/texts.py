"""The value of an element as text that a database and an XML file can hold (PS3.5 §6; pure)."""

import re
import struct
from collections.abc import Sequence
from functools import lru_cache

from pydicom.charset import decode_bytes, python_encoding
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from services.router.elements import Element

# Numbers in binary, by VR (PS3.5 §6.2)
_BINARY = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d", b"UV": "Q", b"SV": "q"}
_SIGNIFICANT_DIGITS = {"f": 7, "d": 15}
# VRs that the Specific Character Set governs (PS3.5 §6.1.2.3), and those of one value, where a backslash is text
_ENCODED = frozenset({b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"})
_SINGLE = frozenset({b"LT", b"ST", b"UT"})
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_LONGEST_BYTES = 16 << 10  # LT has at most 10,240 characters
_ESCAPE = b"\x1b"
_TERM = re.compile(r"ISO[-_ ]?(?P<extended>2022[-_ ]?)?IR[-_ ]?(?P<number>\d+)", re.IGNORECASE)


def text(element: Element, dictionary_vr: bytes, charset: bytes, big_endian: bool) -> str:
    """The element's value: several joined by a backslash, padding and control characters removed. Never raises.

    `dictionary_vr` counts where the file has none or UN; `charset` is the value of Specific Character Set.
    """
    vr = element.vr if element.vr and element.vr != b"UN" else dictionary_vr
    if vr in _BINARY:
        return _numbers(element.value, _BINARY[vr], big_endian)
    decoded = _decoded(element.value[:_LONGEST_BYTES], vr, charset)
    if not decoded.isprintable():
        decoded = _UNPRINTABLE.sub("", decoded)
    if "\\" in decoded and vr not in _SINGLE:
        return "\\".join(value.strip() for value in decoded.split("\\")).strip("\\ ")
    return decoded.strip()


def _numbers(value: bytes, code: str, big_endian: bool) -> str:
    size = struct.calcsize(code)
    count = len(value) // size
    numbers = struct.unpack_from(f"{'>' if big_endian else '<'}{count}{code}", value)
    digits = _SIGNIFICANT_DIGITS.get(code)
    return "\\".join(str(number) if digits is None else f"{number:.{digits}g}" for number in numbers)


def _decoded(value: bytes, vr: bytes, charset: bytes) -> str:
    if value.isascii() and _ESCAPE not in value:
        return value.decode("ascii")
    if vr not in _ENCODED:
        return value.decode("latin-1")
    codecs = encodings(charset)
    if _ESCAPE not in value:
        return value.decode(codecs[0], errors="replace")
    try:
        return decode_bytes(value, codecs, PN_DELIMS if vr == b"PN" else TEXT_VR_DELIMS)
    except (LookupError, UnicodeError):
        return value.decode("latin-1")


@lru_cache(maxsize=256)
def encodings(charset: bytes) -> Sequence[str]:
    """Python's names for the defined terms of a Specific Character Set (PS3.3 §C.12.1.1.2), never none.

    Frequent misspellings (`ISO-IR 100`) are understood; what is no defined term counts as Latin-1.
    """
    terms = [_TERM.sub(_spelled, term.strip()) for term in charset.decode("latin-1").strip("\0 ").split("\\")]
    return [python_encoding.get(term, "iso8859") for term in terms]


def _spelled(term: re.Match[str]) -> str:
    return f"ISO 2022 IR {term['number']}" if term["extended"] else f"ISO_IR {term['number']}"

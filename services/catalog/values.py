"""DICOM text as the values that XNAT's XML states (pure). What cannot be read as its type is None, and is left out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import isfinite

Attributes = Mapping[str, str | None]
"""DICOM keyword -> the value all files agree on, None where they disagree (`facts.Attributes`)."""

_DATE = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.\d{0,6})?)?)?")
GAUSS_FROM = 500
"""A field strength from here on is in gauss, not in tesla (import semantics §4.7)."""


def xml_date(text: str | None) -> str | None:
    """A DA value (PS3.5 §6.2, also its old form with dots) as `YYYY-MM-DD`."""
    match = _DATE.fullmatch((text or "").strip())
    if not match:
        return None
    try:
        return date(*map(int, match.groups())).isoformat()
    except ValueError:
        return None


def xml_time(text: str | None) -> str | None:
    """A TM value (PS3.5 §6.2) as `HH:MM:SS`; missing parts are zero, a fraction is dropped."""
    match = _TIME.fullmatch((text or "").strip())
    if not match:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"


def number(text: str | None) -> float | None:
    """One DS or FD value."""
    if text is None or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def numbers(text: str | None) -> list[float] | None:
    """The values of a DS element, if every one is a number."""
    values = [number(part) for part in (text or "").split("\\")]
    return [value for value in values if value is not None] if None not in values else None


def decimal(text: str | None) -> str | None:
    """A number as Java writes it: `8.6`, `20.0`."""
    value = number(text)
    return None if value is None else repr(value)


def integer(text: str | None) -> int | None:
    """One IS value (PS3.5 §6.2): at most 12 characters."""
    stripped = (text or "").strip()
    return int(stripped) if re.fullmatch(r"[+-]?[0-9]{1,12}", stripped) else None


@dataclass(frozen=True, slots=True)
class VoxelSize:
    """In millimetres, as XNAT's `voxelRes` states them."""

    x: str
    y: str
    z: str | None


def voxel_size(attributes: Attributes) -> VoxelSize | None:
    """The two values of PixelSpacing, in their order, and SliceThickness (import semantics §4.7)."""
    spacing = numbers(attributes.get("PixelSpacing"))
    if spacing is None or len(spacing) != 2:
        return None
    return VoxelSize(repr(spacing[0]), repr(spacing[1]), decimal(attributes.get("SliceThickness")))


@dataclass(frozen=True, slots=True)
class Matrix:
    """Pixels of one image."""

    columns: int
    rows: int


def matrix(attributes: Attributes) -> Matrix | None:
    """Columns and Rows, if the whole series agrees on both."""
    columns, rows = integer(attributes.get("Columns")), integer(attributes.get("Rows"))
    return None if columns is None or rows is None else Matrix(columns, rows)


def field_strength(text: str | None) -> str | None:
    """Tesla, to the nearest half: `3.0` for 3, 2.89362 and 30000 gauss (import semantics §4.7)."""
    value = number(text)
    if value is None or value < 0:
        return None
    tesla = value / 10000 if value >= GAUSS_FROM else value
    return repr(round(tesla * 2) / 2)


@dataclass(frozen=True, slots=True)
class Echo:
    """One of the echo times of a series."""

    number: str
    milliseconds: str


def echoes(attributes: Attributes) -> list[Echo]:
    """The distinct echo times in order of their numbers: `EchoTimes` has them as `n=te`, else EchoTime is the only one.

    Numbers that are missing or not distinct are replaced by the position, since XNAT wants each name once.
    """
    gathered = [part.partition("=") for part in (attributes.get("EchoTimes") or "").split(",") if part]
    found = {(n.strip(), value) for n, _, te in gathered if (value := decimal(te)) is not None}
    if not found:
        only = decimal(attributes.get("EchoTime"))
        return [] if only is None else [Echo("1", only)]
    ordered = sorted(found, key=lambda pair: (integer(pair[0]) or 0, pair[0], float(pair[1])))
    keys = {n for n, _ in found}
    distinct = len(keys) == len(found) and all(integer(n) is not None for n in keys)
    return [Echo(n if distinct else str(place), te) for place, (n, te) in enumerate(ordered, start=1)]

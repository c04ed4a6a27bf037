"""Slices that look and deflate about like scanner images, without numpy: an image is one integer of 16-bit lanes.

Arithmetic on such an integer works on all pixels at once as long as no lane overflows, so values stay in 12 bits.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from functools import cache
from random import Random

STEPS = 16  # between two anatomies; 12-bit values times 16 just fit a lane


@dataclass(frozen=True)
class Ellipse:
    """A piece of anatomy in coordinates from -1 to 1: later ones lie on top of earlier ones."""

    x: float
    y: float
    width: float
    height: float
    level: int  # brightness at its centre
    slope: float  # change of brightness from the centre to the edge
    noise: int  # mask of the noise bits that its pixels get


@dataclass(frozen=True)
class Anatomy:
    """Two cross-sections between which a series runs, and the noise of everything outside them."""

    rows: int
    columns: int
    first: tuple[Ellipse, ...]
    last: tuple[Ellipse, ...]
    field_of_view: float  # radius beyond which nothing is measured: exact zeros
    air_noise: int
    air_level: int


HEAD = Anatomy(
    rows=120,
    columns=128,
    first=(
        Ellipse(0.0, 0.0, 0.72, 0.86, 640, 220, 0x3F),  # scalp
        Ellipse(0.0, 0.0, 0.66, 0.80, 90, 30, 0x0F),  # skull
        Ellipse(0.0, 0.0, 0.60, 0.74, 420, 120, 0x1F),  # grey matter
        Ellipse(0.0, -0.05, 0.44, 0.56, 560, -90, 0x1F),  # white matter
        Ellipse(-0.12, -0.05, 0.09, 0.26, 140, 40, 0x0F),  # ventricles
        Ellipse(0.12, -0.05, 0.09, 0.26, 140, 40, 0x0F),
    ),
    last=(
        Ellipse(0.0, 0.05, 0.50, 0.60, 600, 180, 0x3F),
        Ellipse(0.0, 0.05, 0.45, 0.55, 80, 30, 0x0F),
        Ellipse(0.0, 0.05, 0.40, 0.50, 450, 140, 0x1F),
        Ellipse(0.0, 0.02, 0.25, 0.33, 540, -60, 0x1F),
    ),
    field_of_view=2.0,
    air_noise=0x0F,
    air_level=2,
)
ABDOMEN = Anatomy(
    rows=512,
    columns=512,
    first=(
        Ellipse(0.0, 0.05, 0.85, 0.66, 930, 12, 0x3F),  # fat
        Ellipse(0.0, 0.05, 0.78, 0.58, 1080, 20, 0x3F),  # muscle
        Ellipse(-0.32, 0.0, 0.34, 0.40, 1120, 15, 0x3F),  # liver
        Ellipse(0.40, 0.05, 0.20, 0.24, 1090, 10, 0x3F),  # spleen
        Ellipse(0.15, -0.20, 0.16, 0.12, 140, 90, 0x3F),  # gas
        Ellipse(0.0, 0.42, 0.12, 0.12, 1500, -250, 0x3F),  # vertebra
    ),
    last=(
        Ellipse(0.0, 0.05, 0.80, 0.60, 930, 12, 0x3F),
        Ellipse(0.0, 0.05, 0.72, 0.52, 1070, 20, 0x3F),
        Ellipse(-0.40, 0.0, 0.28, 0.36, 160, 60, 0x3F),  # lungs
        Ellipse(0.40, 0.0, 0.28, 0.36, 160, 60, 0x3F),
        Ellipse(0.05, -0.05, 0.20, 0.22, 1160, 15, 0x3F),  # heart
        Ellipse(0.0, 0.40, 0.11, 0.11, 1480, -220, 0x3F),
    ),
    field_of_view=0.98,
    air_noise=0x1F,
    air_level=16,
)


def pixel_data(anatomy: Anatomy, position: float, random: Random) -> bytes:
    """The little-endian pixels of the slice at `position` (0 to 1) of a series; `random` gives its noise."""
    first, last = _cross_sections(anatomy)
    step = round(position * STEPS)
    blended = (first.mean * (STEPS - step) + last.mean * step) >> 4
    nearest = last if step * 2 > STEPS else first
    size = anatomy.rows * anatomy.columns * 2
    noise = int.from_bytes(random.randbytes(size), "little") & nearest.noise
    return ((blended & _lanes(size, 0x0FFF)) + noise).to_bytes(size, "little")


@dataclass(frozen=True)
class _CrossSection:
    mean: int
    noise: int


@cache
def _cross_sections(anatomy: Anatomy) -> tuple[_CrossSection, _CrossSection]:
    return _drawn(anatomy, anatomy.first), _drawn(anatomy, anatomy.last)


@cache
def _lanes(size: int, value: int) -> int:
    return int.from_bytes(value.to_bytes(2, "little") * (size // 2), "little")


def _drawn(anatomy: Anatomy, ellipses: tuple[Ellipse, ...]) -> _CrossSection:
    means, noises = array("H"), array("H")
    for row in range(anatomy.rows):
        y = (2 * row + 1) / anatomy.rows - 1
        for column in range(anatomy.columns):
            x = (2 * column + 1) / anatomy.columns - 1
            mean, noise = _pixel(anatomy, ellipses, x, y)
            means.append(mean)
            noises.append(noise)
    return _CrossSection(*(int.from_bytes(plane.tobytes(), "little") for plane in (means, noises)))


def _pixel(anatomy: Anatomy, ellipses: tuple[Ellipse, ...], x: float, y: float) -> tuple[int, int]:
    for ellipse in reversed(ellipses):
        distance = math.hypot((x - ellipse.x) / ellipse.width, (y - ellipse.y) / ellipse.height)
        if distance < 1:
            texture = 25 * math.sin(9 * x) * math.cos(7 * y)
            return round(ellipse.level + ellipse.slope * distance + texture), ellipse.noise
    if math.hypot(x, y) > anatomy.field_of_view:
        return 0, 0
    return anatomy.air_level, anatomy.air_noise

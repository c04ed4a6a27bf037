"""Cutting the refresh of a large session into parts, each for one message (pure)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from libs.common.commands import NameRange


@dataclass(frozen=True, slots=True)
class Limits:
    """What one part may have, so that it takes seconds: folders, files to be compared, files and bytes to be read."""

    folders: int = 64
    files: int = 20_000
    reads: int = 5_000
    read_bytes: int = 1 << 30


LIMITS = Limits()
ALL_NAMES = NameRange()


@dataclass(frozen=True, slots=True)
class Load:
    """What the refresh of one folder has to do, or that of a part of it."""

    files: int = 0
    reads: int = 0
    read_bytes: int = 0

    def __add__(self, other: "Load") -> "Load":
        """Both together."""
        return Load(self.files + other.files, self.reads + other.reads, self.read_bytes + other.read_bytes)

    def exceeds(self, limits: Limits) -> bool:
        """Whether it is more than a part may have."""
        return self.files > limits.files or self.reads > limits.reads or self.read_bytes > limits.read_bytes


@dataclass(frozen=True, slots=True)
class Name:
    """One file of a folder that is too large; `read_bytes` is None where it is only compared."""

    name: str
    read_bytes: int | None

    @property
    def load(self) -> Load:
        """What it costs."""
        return Load(1, 0, 0) if self.read_bytes is None else Load(1, 1, self.read_bytes)


@dataclass(frozen=True, slots=True)
class Part:
    """Whole folders, or a range of one."""

    folders: tuple[str, ...]
    names: NameRange = ALL_NAMES


def fits(loads: Mapping[str, Load], limits: Limits) -> bool:
    """Whether all is no more than one part."""
    return len(loads) <= limits.folders and not sum(loads.values(), Load()).exceeds(limits)


def split(loads: Mapping[str, Load], names: Mapping[str, Iterable[Name]], limits: Limits) -> list[Part]:
    """The parts in order; `names` has the files of each folder that alone exceeds the limits."""
    small = sorted((folder, load) for folder, load in loads.items() if folder not in names)
    parts = [Part(tuple(folders)) for folders in _grouped(small, limits)]
    for folder in sorted(names):
        parts += [Part((folder,), each) for each in cut(names[folder], limits)]
    return parts


def _grouped(loads: Sequence[tuple[str, Load]], limits: Limits) -> Iterator[list[str]]:
    group: list[str] = []
    total = Load()
    for folder, load in loads:
        if group and (len(group) == limits.folders or (total + load).exceeds(limits)):
            yield group
            group, total = [], Load()
        group.append(folder)
        total += load
    if group:
        yield group


def cut(names: Iterable[Name], limits: Limits) -> list[NameRange]:
    """Ranges that together hold every name, also ones that come later: the first and the last are open."""
    bounds = [""]
    total = Load()
    for one in sorted(names, key=lambda each: each.name):
        if total != Load() and (total + one.load).exceeds(limits):
            bounds.append(one.name)
            total = Load()
        total += one.load
    return [NameRange(first=first, end=end) for first, end in zip(bounds, [*bounds[1:], ""], strict=True)]

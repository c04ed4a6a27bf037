"""The runs as tables for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.measurement import Measured

SCANDOCK = "scandock"
ORTHANC = "orthanc"
PEERS = (SCANDOCK, ORTHANC)
NOTHING = "-"


@dataclass(frozen=True)
class Run:
    """One peer, one upload: what it showed, or why it does not count."""

    peer: str
    number: int
    measured: Measured | None = None
    error: str = ""


@dataclass
class Cell:
    """All runs of one corpus."""

    name: str
    files: int
    megabytes: float
    runs: list[Run] = field(default_factory=list)

    def of(self, peer: str) -> dict[int, Measured]:
        """The runs of `peer` that count, by number."""
        return {run.number: run.measured for run in self.runs if run.peer == peer and run.measured}

    @property
    def failures(self) -> list[Run]:
        """The runs that do not count."""
        return [run for run in self.runs if run.measured is None]

    def ratios(self) -> list[float]:
        """Of each run in which both peers came through, how much faster Scandock was."""
        ours, theirs = self.of(SCANDOCK), self.of(ORTHANC)
        both = sorted(ours.keys() & theirs)
        return [ours[number].files_per_second / theirs[number].files_per_second for number in both]


def tables(cells: Sequence[Cell]) -> str:
    """What a person wants to know, and every failure."""
    parts = [
        "Files per second, from the first byte sent to the answer received: median (least - most)",
        _rates(cells),
        "CPU-ms per file, median (client: the bench; other: the kernel and whatever else this machine did)",
        _by_program(cells, lambda run: {name: ms / run.files for name, ms in run.cpu_ms.items()}, median, 2),
        "Peak resident memory of each program's largest process since its start, MB, the most of all runs",
        _by_program(cells, lambda run: run.peak_mb, max, 0),
    ]
    failed = [(cell.name, run) for cell in cells for run in cell.failures]
    failures = [f"FAILED {name}, {run.peer}, run {run.number}: {run.error}" for name, run in failed]
    return "\n\n".join([*parts, *failures])


def write_json(path: Path, facts: Mapping[str, object], cells: Iterable[Cell]) -> None:
    """Everything that was measured."""
    path.write_text(json.dumps({**facts, "cells": [_as_json(cell) for cell in cells]}, indent=2) + "\n")


def _as_json(cell: Cell) -> dict[str, object]:
    rates = {peer: [run.files_per_second for run in cell.of(peer).values()] for peer in PEERS}
    return {**asdict(cell), "files_per_second": rates, "ratios": cell.ratios()}


def _rates(cells: Sequence[Cell]) -> str:
    header = ["corpus", "files", "MB", "Scandock", "Orthanc", "Scandock / Orthanc"]
    return _table([header, *(_rate_row(cell) for cell in cells)])


def _rate_row(cell: Cell) -> list[str]:
    rates = [_spread(cell, peer) for peer in PEERS]
    return [cell.name, str(cell.files), f"{cell.megabytes:.0f}", *rates, _summary(cell.ratios(), 2)]


def _spread(cell: Cell, peer: str) -> str:
    failed = sum(run.peer == peer for run in cell.failures)
    rates = [run.files_per_second for run in cell.of(peer).values()]
    return " ".join([_summary(rates, 1), *([f"FAILED {failed}"] if failed else [])])


def _summary(values: Sequence[float], digits: int) -> str:
    if not values:
        return NOTHING
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def _by_program(
    cells: Sequence[Cell],
    look: Callable[[Measured], Mapping[str, float]],
    combine: Callable[[Sequence[float]], float],
    digits: int,
) -> str:
    pairs = [(cell, peer) for cell in cells for peer in PEERS if cell.of(peer)]
    looks = {(cell.name, peer): [look(run) for run in cell.of(peer).values()] for cell, peer in pairs}
    programs = list(dict.fromkeys(name for found in looks.values() for run in found for name in run))
    rows = [["corpus", "peer", *programs]]
    for (cell, peer), found in looks.items():
        values = [[run[name] for run in found if name in run] for name in programs]
        rows.append([cell, peer, *(f"{combine(each):.{digits}f}" if each else NOTHING for each in values)])
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])

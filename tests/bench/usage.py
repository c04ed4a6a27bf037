"""What processes cost, as Linux counts it (proc(5)): CPU time and peak memory of each program."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Stat:
    parent: int
    ticks: int


@dataclass(frozen=True)
class Usage:
    """What the processes of each program have used since they started."""

    cpu_ms: Mapping[str, float]
    peak_mb: Mapping[str, float]  # of its largest process

    def cpu_ms_since(self, before: Usage) -> dict[str, float]:
        """What each program has used since `before`."""
        return {name: spent - before.cpu_ms.get(name, 0.0) for name, spent in self.cpu_ms.items()}


def usage(programs: Mapping[str, list[int]]) -> Usage:
    """Of each program the processes given and all that descend from them.

    Time of children that have ended counts with the parent that waited for them.
    """
    table = _table()
    children: dict[int, list[int]] = defaultdict(list)
    for pid, stat in table.items():
        children[stat.parent].append(pid)
    cpu_ms, peak_mb = {}, {}
    for name, roots in programs.items():
        pids = [pid for root in roots for pid in _descendants(root, children) if pid in table]
        cpu_ms[name] = sum(table[pid].ticks for pid in pids) * 1000 / TICKS_PER_SECOND
        peak_mb[name] = max(map(_peak_mb, pids), default=0.0)
    return Usage(cpu_ms, peak_mb)


def own_cpu_ms() -> float:
    """What this process has used: the client's share of a measurement."""
    times = os.times()
    return (times.user + times.system) * 1000


def machine_busy_ms() -> float:
    """What all processors have done since boot, for us, for others and for the kernel itself."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8])
    return (user + nice + system + irq + softirq) * 1000 / TICKS_PER_SECOND


def _descendants(root: int, children: Mapping[int, list[int]]) -> list[int]:
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _table() -> dict[int, _Stat]:
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                table[int(entry.name)] = _Stat(parent=int(fields[1]), ticks=sum(map(int, fields[11:15])))
    return table


def _peak_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0

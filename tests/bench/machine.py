"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from deploy.local.program import ROOT


def use_cores(count: int) -> list[int]:
    """Let this process and all that it will start run on `count` processors only."""
    chosen = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, chosen)
    return chosen


def facts(cores: list[int], directory: Path) -> dict[str, str]:
    """The machine, the code, and where the data lie."""
    return {
        "processor": _first_match("/proc/cpuinfo", r"model name\s*:\s*(.+)"),
        "cores": f"{len(cores)} used of {os.cpu_count()}",
        "memory": _first_match("/proc/meminfo", r"MemTotal:\s*(.+)"),
        "kernel": platform.release(),
        "system": _first_match("/etc/os-release", r'PRETTY_NAME="(.+)"'),
        "file system": _output("findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", str(directory)),
        "python": platform.python_version(),
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }


def _first_match(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text())
    return found.group(1) if found else "unknown"


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

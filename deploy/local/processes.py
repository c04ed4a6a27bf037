"""Which running processes are ours, and stopping them by their ids."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.postgresql import PostgreSQL

MARK = "SCANDOCK_INSTANCE"


@dataclass(frozen=True)
class Process:
    """A process, told from a later one with the same id by when it started."""

    pid: int
    started: str
    command: str

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; one that ended but was not waited for does not."""
        return _state(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Signal it, unless it has gone."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def marked(instance: str) -> list[Process]:
    """Every process that inherited our mark from the supervisor, whoever its parent is now."""
    mark = f"{MARK}={instance}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(_process(int(entry.name)))
    return [process for process in found if process is not None and process.pid != os.getpid()]


def postmaster(database: PostgreSQL | None) -> list[Process]:
    """Our PostgreSQL, which overwrites its environment: the process its lock file names, if it works in our folder."""
    if database is None:
        return []
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((database.data / "postmaster.pid").read_text().splitlines()[0])
        process = _process(pid)
        if process and Path(f"/proc/{pid}/cwd").resolve() == database.data.resolve():
            return [process]
    return []


def from_pid_file(path: Path, instance: str) -> Process | None:
    """The process that a pid file names, if it is one of ours."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(path.read_text())
        return next((process for process in marked(instance) if process.pid == pid), None)
    return None


def wait_until_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Those that are still there after `seconds`."""
    deadline = time.monotonic() + seconds
    left = list(processes)
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [process for process in left if process.is_alive]
    return left


def _process(pid: int) -> Process | None:
    started = _state(pid)
    if started is None:
        return None
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return Process(pid, started, command)


def _state(pid: int) -> str | None:
    """When a running process started, in clock ticks since boot (proc(5), field 22)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]

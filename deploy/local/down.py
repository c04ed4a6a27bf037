"""`make down`: stop exactly what `make up` started, and keep the data."""

from __future__ import annotations

import os
import signal
import sys

from deploy.local import processes, settings, supervisor
from deploy.local.program import ROOT

# SeaweedFS takes about 20 s to leave; the supervisor kills a program after its own `stop_seconds` (60).
SUPERVISOR_SECONDS = 150
SURVIVOR_SECONDS = 10


def stop(current: settings.Settings) -> int:
    """Stop the supervisor with its programs, then what outlived them; return how many processes there were."""
    ours = [*processes.marked(current.instance), *processes.postmaster(current.database)]
    head = processes.from_pid_file(supervisor.PID_FILE, current.instance)
    if head is not None:
        head.send(signal.SIGTERM)
        processes.wait_until_gone([head], SUPERVISOR_SECONDS)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):  # to PostgreSQL, SIGINT is its fast shutdown
        ours += processes.marked(current.instance)
        for process in ours:
            process.send(number)
        if not processes.wait_until_gone(ours, SURVIVOR_SECONDS):
            break
    if ours and current.store:
        current.store.remove_sockets()
    return len(ours)


def main() -> int:
    os.chdir(ROOT)
    current = settings.load()
    if current is None or not stop(current):
        print("Scandock is not running.")
        return 0
    print("Scandock has stopped; its data are in var/.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make status`: what runs. `make logs`: what it says."""

from __future__ import annotations

import os
import subprocess
import sys

from deploy.local import settings, supervisor
from deploy.local.program import ROOT
from deploy.local.settings import LOGS


def status() -> int:
    """Print a line per program; fail when one does not run."""
    current = settings.load()
    states = supervisor.states()
    if current is None or not states:
        print("Scandock is not running.")
        return 1
    for state in states:
        print(f"{state.name:<12} {state.state:<10} {state.description}")
    print(f"{current.url}  (settings in {settings.LOCAL_ENV.relative_to(ROOT)})")
    return 0 if all(state.is_running for state in states) else 1


def logs() -> int:
    """Show the end of every log; on a terminal, go on as they grow."""
    files = sorted(str(path.relative_to(ROOT)) for path in LOGS.glob("*.log"))
    if not files:
        print("There are no logs yet.")
        return 1
    follow = ["-F"] if sys.stdout.isatty() else []
    return subprocess.run(["tail", "-n", "20", *follow, *files], check=False).returncode


def main() -> int:
    os.chdir(ROOT)
    return logs() if sys.argv[1:] == ["logs"] else status()


if __name__ == "__main__":
    sys.exit(main())

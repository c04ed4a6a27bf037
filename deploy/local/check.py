"""`make check`: style, types, import contracts, and each service importable with its own dependencies only."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from deploy.local.install import LOCK
from deploy.local.program import ROOT, SERVICES

BIN = Path(sys.executable).parent


def commands() -> list[list[str]]:
    """The checks of the whole tree."""
    return [
        [f"{BIN}/ruff", "check"],
        [f"{BIN}/ruff", "format", "--check"],
        [f"{BIN}/mypy", "--strict", "-p", "libs", "-p", "services", "-p", "deploy"],
        [f"{BIN}/lint-imports"],
    ]


def passes(command: list[str], directory: Path = ROOT) -> bool:
    """Run one check and say what it was."""
    print("$ " + " ".join(command), flush=True)
    return subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, check=False).returncode == 0


def stands_alone(service: str, wheel: Path, directory: Path) -> bool:
    """Install `service`'s extra in an empty environment and import its `main`, away from the checkout."""
    place = directory / service
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    install = [*pip, "-c", str(LOCK), f"scandock[{service}] @ {wheel.as_uri()}"]
    return passes(install) and passes([python, "-c", f"import services.{service}.main"], directory)


def main() -> int:
    failed = [" ".join(command) for command in commands() if not passes(command)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", name, str(ROOT)]
        if passes(wheel):
            built = next(directory.glob("*.whl"))
            failed += [f"{service} alone" for service in SERVICES if not stands_alone(service, built, directory)]
        else:
            failed.append("wheel")
    print("checks failed: " + ", ".join(failed) if failed else "checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

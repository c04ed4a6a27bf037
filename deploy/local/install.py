"""Install what is missing: system packages by apt, the virtual environment, the project in it. Quick when nothing is.

Usage: python3 -m deploy.local.install all|test|check
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.postgresql import newest_binaries
from deploy.local.program import ROOT
from deploy.local.rabbitmq import SERVER

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
LOG = VENV / "install.log"
OLDEST_PYTHON = (3, 11)

# Each extra contains those before it.
EXTRAS = ("all", "test", "check")


class InstallError(Exception):
    """Something is missing that cannot be installed; the text says what to do."""


def missing_packages() -> list[str]:
    """The system packages that this machine lacks."""
    missing = []
    if importlib.util.find_spec("ensurepip") is None and not PYTHON.exists():
        missing.append(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")
    if not SERVER.exists() and not os.environ.get("AMQP_URL"):
        missing.append("rabbitmq-server")
    if newest_binaries() is None and not os.environ.get("DATABASE_URL"):
        missing.append("postgresql")
    return missing


def install_packages(packages: list[str]) -> None:
    """Install by apt, as root or through sudo.

    Raises:
        InstallError: this is no Debian or Ubuntu, there is no way to become root, or apt failed.
    """
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise InstallError(f"this machine has no apt-get: install by other means what Debian calls {names}")
    command = ["sh", str(Path(__file__).with_name("packages.sh")), *packages]
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise InstallError(f"missing: {names}; as root run: apt-get install --no-install-recommends {names}")
        command.insert(0, "sudo")
    print(f"Installing {names} (system packages, about a minute) ...", flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"{done.stdout}\napt-get could not install {names}")


def install_distribution(extra: str) -> None:
    """Bring the virtual environment to what pyproject.toml and the lock say for `extra`.

    Raises:
        InstallError: the environment could not be made or filled.
    """
    wanted = _fingerprint()
    if _works() and any(_stamp(name).exists() and _stamp(name).read_text() == wanted for name in _containing(extra)):
        return
    if not _works():
        print("Making .venv ...", flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    print(f"Installing Python packages [{extra}] into .venv (a minute or two the first time) ...", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--log", str(LOG)]
    _run([*pip, "-c", str(LOCK), "-e", f"{ROOT}[{extra}]"])
    _stamp(extra).write_text(wanted)


def _works() -> bool:
    if not PYTHON.exists():
        return False
    return subprocess.run([PYTHON, "-c", "import pip"], capture_output=True, check=False).returncode == 0


def _containing(extra: str) -> tuple[str, ...]:
    return EXTRAS[EXTRAS.index(extra) :]


def _stamp(extra: str) -> Path:
    return VENV / f"installed-{extra}"


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{ROOT} {sys.version}".encode())
    for path in (ROOT / "pyproject.toml", LOCK):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"{done.stdout}\n{' '.join(command)} ended with {done.returncode}")


def main() -> int:
    extra = sys.argv[1]
    if sys.version_info < OLDEST_PYTHON:
        print(f"Python 3.11 or newer is needed, this is {sys.version}: make ... PYTHON=python3.12", file=sys.stderr)
        return 1
    try:
        if missing := missing_packages():
            install_packages(missing)
        install_distribution(extra)
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

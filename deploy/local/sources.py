"""Which code the services run, so that `make up` after a `git pull` restarts them. Kept in `var/`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from deploy.local.program import ROOT
from deploy.local.settings import VAR

FILE = VAR / "sources.sha256"
"""The digest of what the services were last started with."""
FOLDERS = ("libs", "services")
FILES = ("pyproject.toml", "requirements.lock")
CACHE = "__pycache__"


def digest(root: Path = ROOT) -> str:
    """SHA-256, in hex, of all that a service's process is made of: sources by their paths, and the lock."""
    found = hashlib.sha256()
    for path in sorted(_files(root)):
        body = path.read_bytes()
        found.update(f"{path.relative_to(root)}\0{len(body)}\0".encode())
        found.update(body)
    return found.hexdigest()


def is_running(current: str) -> bool:
    """Whether the services were last started with the code of this digest."""
    return FILE.exists() and FILE.read_text() == current


def remember(current: str) -> None:
    """The services run the code of this digest."""
    FILE.write_text(current)


def _files(root: Path) -> list[Path]:
    sources = [path for folder in FOLDERS for path in (root / folder).rglob("*") if CACHE not in path.parts]
    return [path for path in (*sources, *(root / name for name in FILES)) if path.is_file()]

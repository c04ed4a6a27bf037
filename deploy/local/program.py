"""One process to keep running, said once for the supervisor of `make up` and for the tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Program:
    """What to execute, with what on top of the inherited environment, and how to stop it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    directory: Path = ROOT
    stop_signal: str = "TERM"
    stop_seconds: int = 30


SERVICES = ("gateway", "extractor", "router", "archiver", "catalog")


def service(name: str) -> Program:
    """One of the five services, run from the checkout with this environment's Python."""
    return Program(name, (sys.executable, "-m", f"services.{name}.main"), stop_seconds=60)

"""Where the bytes of a staged member lie in the bucket (pure; docs/flow.md, Keys)."""

import hashlib
import re
from uuid import UUID

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
NAME_LENGTH = 100
NO_NUMBER = "NA"


def import_folder(prefix: str, import_id: UUID) -> str:
    """Where an import's objects of the session at `prefix` lie, with its slash (docs/adr/0008)."""
    return f"{prefix}{import_id.hex[:16]}/"


def member_key(prefix: str, import_id: UUID, series: str, ordinal: int, path: str) -> str:
    """The key of a member's bytes, the same on every delivery: it derives from import, series and ordinal.

    `prefix` is its session's, `series` its `series_folder`; only the last part of `path` shows, cleaned.
    """
    name = _UNSAFE.sub("_", path.rsplit("/", 1)[-1])[-NAME_LENGTH:]
    return f"{import_folder(prefix, import_id)}{series}/{ordinal:06d}_{name}"


def series_folder(series_number: str | None, series_instance_uid: str) -> str:
    """SeriesNumber, or `NA`, and 8 hex digits that tell series of one number apart."""
    number = _UNSAFE.sub("_", (series_number or "").strip())[:16] or NO_NUMBER
    return f"{number}_{hashlib.sha256(series_instance_uid.encode()).hexdigest()[:8]}"


def folder_of(key: str) -> str:
    """The prefix to list in order to find `key`, with its slash."""
    return key[: key.rindex("/") + 1]

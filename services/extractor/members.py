"""Which members of an upload are safe, which are junk, which may be archives themselves (pure)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.errors import UserError
from libs.common.facts import Member

ENCRYPTED = "encrypted"
EMPTY = "empty"
NAME_LENGTH = 4096

_DRIVE = re.compile(r"[A-Za-z]:")
_ARCHIVE_NAME = re.compile(r"\.(zip|xar|tar|tgz|gz|tbz2?|bz2)$", re.IGNORECASE)
_PACKED_NAME = re.compile(r"\.(tgz|gz|tbz2?|bz2)$", re.IGNORECASE)
_JUNK_FILES = {
    ".ds_store": "junk: folder settings of macOS",
    "thumbs.db": "junk: thumbnails of Windows",
    "desktop.ini": "junk: folder settings of Windows",
}


@dataclass(frozen=True, slots=True)
class Found(Member):
    """A member as listed. `ordinal` is its number in its own container until the whole upload is listed.

    `skipped` says why it is not for the archive, in words without names; "" if it is.
    """

    skipped: str = ""


def member_path(name: str, number: int) -> str:
    """The member's path, "/" between its parts; "" if it names no file. Windows' separators are taken as such.

    Raises:
        UserError: unpacked somewhere, the name would leave its folder. The text has no name: it may be PHI.
    """
    path = name.replace("\\", "/")
    if "\x00" in path or len(path) > NAME_LENGTH:
        raise unsafe(number, "has a name that no file can have")
    if path.startswith("/") or _DRIVE.match(path):
        raise unsafe(number, "has an absolute path")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise unsafe(number, "has a path that leaves the archive")
    return "/".join(parts)


def unsafe(number: int, why: str) -> UserError:
    """The refusal of a whole upload because of one member."""
    return UserError(
        "unsafe-member", f"member {number} {why}: nothing of the upload is imported until it is left out or renamed"
    )


def skip_reason(path: str, size_bytes: int) -> str:
    """Why a file is not for the archive, judged by its path and size alone; "" if it may be."""
    *folders, name = path.split("/")
    if "__MACOSX" in folders or name.startswith("._"):
        return "junk: a folder dropping of macOS"
    if name.lower() in _JUNK_FILES:
        return _JUNK_FILES[name.lower()]
    return "" if size_bytes else EMPTY


def may_be_archive(path: str) -> bool:
    """Whether a member's name is that of an archive, so that its content is worth a look."""
    return bool(_ARCHIVE_NAME.search(path))


def packed_name(path: str) -> str:
    """The name of the one file in a gzip or bzip2 file: `a/b.dcm.gz` holds `b.dcm`."""
    name = path.rsplit("/", 1)[-1]
    return _PACKED_NAME.sub("", name) or "content"


def source_paths(names: Sequence[str]) -> list[str]:
    """A safe last path part for each file that was sent, from its sender's name for it; no two are the same."""
    taken: set[str] = set()
    paths: list[str] = []
    for name in map(_source_path, names):
        path, number = name, 0
        while path in taken:
            number += 1
            path = f"{name}_{number}"
        taken.add(path)
        paths.append(path)
    return paths


def _source_path(name: str) -> str:
    last = name.replace("\\", "/").rsplit("/", 1)[-1].replace("\x00", "")
    return "upload" if last in {"", ".", ".."} else last

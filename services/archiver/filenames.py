"""Names of files in a resource: the sender's, made safe and unique (pure; import semantics §5)."""

import re
from collections.abc import Container

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")
NAME_LENGTH = 200


def file_name(path: str) -> str:
    """The last part of a member's path as the sender wrote it, without slashes and control characters."""
    name = _UNSAFE.sub("_", path.rsplit("/", 1)[-1])[-NAME_LENGTH:]
    return "_" if name in {"", ".", ".."} else name


def free_name(name: str, used: Container[str]) -> str:
    """`name`, or with the first free `_1`, `_2` … after it: SI adds a suffix where two files of an upload clash."""
    if name not in used:
        return name
    number = 1
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"

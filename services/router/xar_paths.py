"""Paths that documents name, held inside their archive (pure; import semantics §3.6)."""

import re
from collections.abc import Container, Iterable
from urllib.parse import unquote

from libs.common.errors import UserError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
ESCAPES = (
    "xar-unsafe-path",
    "A document of the XAR names a file outside of it: URIs must be relative, and stay inside the archive.",
)


def inside(folder: str, uri: str) -> str:
    """The archive's path that `uri` means for a document in `folder` ("" is the top). Raises `UserError` outside."""
    for spelling in {uri, unquote(uri)}:
        _check(folder, spelling)
    return _joined(folder, uri)


def _check(folder: str, uri: str) -> None:
    path = uri.replace("\\", "/")
    if _SCHEME.match(path) or path.startswith("/") or "\0" in path:
        raise UserError(*ESCAPES)
    _joined(folder, path)


def _joined(folder: str, uri: str) -> str:
    parts = folder.split("/") if folder else []
    for part in uri.replace("\\", "/").split("/"):
        if part == ".." and not parts:
            raise UserError(*ESCAPES)
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def spelled(path: str, there: Container[str]) -> str:
    """The path as the archive has it: as written, else with its percent signs decoded."""
    return path if path in there else unquote(path)


def folder_of(path: str) -> str:
    """The folder that a path lies in, "" for the top."""
    return path.rpartition("/")[0]


def below(path: str, folder: str) -> str:
    """A path as it is called below a folder; from the archive's top where it is not in there."""
    return path[len(folder) + 1 :] if folder and path.startswith(f"{folder}/") else path


def single_top(paths: Iterable[str]) -> str:
    """The one top folder that everything lies in, with its slash; "" if there is none (§3.6: it is unwrapped)."""
    tops = {path.split("/", 1)[0] if "/" in path else "" for path in paths}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""

"""The catalogs in a XAR: which files a resource has (pure; import semantics §6.3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.router.xar_xml import local, parse

_UID = re.compile(r"[0-9A-Za-z.]{1,128}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a catalog; `uri` is as written, below the catalog's folder."""

    uri: str
    sop_instance_uid: str
    instance_number: str


def read_catalog(body: bytes) -> Sequence[Entry] | None:
    """The entries of a catalog, those of its sets too; None if `body` is none. Raises `UserError` as `parse`."""
    root = parse(body)
    if root is None or not local(root).endswith("Catalog"):
        return None
    return [
        Entry(
            one.get("URI", "").strip(),
            _matching(_UID, one.get("UID", "")),
            _matching(_NUMBER, one.get("instanceNumber", "")),
        )
        for one in root.iter()
        if isinstance(one.tag, str) and local(one) == "entry" and one.get("URI", "").strip()
    ]


def _matching(pattern: re.Pattern[str], value: str) -> str:
    return value.strip() if pattern.fullmatch(value.strip()) else ""

"""The report of an import: one JSON line for each member, saying what became of it and why (pure)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

UNSETTLED = "unsettled"
"""A member without a verdict: the import ended before anything was decided about it."""


@dataclass(frozen=True, slots=True)
class MemberLine:
    """One member; `name` is what its file is called in its session, "" where it is not stored."""

    ordinal: int
    path: str
    verdict: str | None
    reason: str
    session_id: str
    sop_instance_uid: str
    md5: str
    size_bytes: int
    name: str


def render_lines(members: Iterable[MemberLine]) -> bytes:
    """NDJSON in UTF-8, each line ended."""
    return "".join(_line(member) for member in members).encode()


def _line(member: MemberLine) -> str:
    facts = {
        "ordinal": member.ordinal,
        "path": member.path,
        "verdict": member.verdict or UNSETTLED,
        "reason": member.reason,
        "session_id": member.session_id,
        "sop_instance_uid": member.sop_instance_uid,
        "md5": member.md5,
        "size_bytes": member.size_bytes,
        "name": member.name,
    }
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n"

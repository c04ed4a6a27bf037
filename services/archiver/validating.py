"""Says what would stop an entry from being archived, and changes nothing (import semantics §9.3)."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.commands import Line
from services.archiver.building import lock_entry
from services.archiver.findings import NO_PROJECT, findings
from services.archiver.stored import Wanted, load_stored_case


async def validate_entry(connection: AsyncConnection, session_id: str, wanted: Wanted) -> tuple[Line, ...]:
    """The lines of XNAT's table, none where nothing is in the way. Raises `UserError` if it is no prearchive entry."""
    entry = await lock_entry(connection, session_id)
    if entry.project is None:
        return (NO_PROJECT,)
    case = await load_stored_case(connection, replace(entry, project=entry.project), wanted)
    return findings(case)

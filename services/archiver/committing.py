"""Commits a prearchive entry: built, then archived where somebody wants that (import semantics §3.4 step 6, §9.4)."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.commands import Archive, Commit
from libs.common.outbox import Origin, Site
from libs.common.requests import ImportRequest
from libs.common.schema import import_sessions, imports
from services.archiver.aims import AUTO_ARCHIVE
from services.archiver.archiving import Archived, archive_entry, lock_session
from services.archiver.building import build_entry
from services.archiver.cases import Place, Problem, Session
from services.archiver.changes import uri_of
from services.archiver.rows import load_codes
from services.archiver.stored import Wanted

UNASSIGNED = Problem(
    "unassigned",
    "Cannot archive sessions from the Unassigned folder. Unable to identify destination project: "
    "name it by project or dest=/archive/projects/{P}, or move the entry to one.",
)


async def commit_entry(
    connection: AsyncConnection, session_id: str, commit: Commit, origin: Origin, site: Site
) -> tuple[Archived, ...]:
    """Build an entry in the caller's transaction, then archive it if it is to be archived; both halves of a split one.

    Safe to repeat: one that is archived already is only told where it is. In Unassigned it is built alone.

    Raises:
        UserError: it is not in the prearchive.
    """
    entry = await lock_session(connection, session_id)
    wanted = await _wanted(connection, entry, commit)
    if entry.place in {Place.ARCHIVE, Place.MERGED}:
        return await archive_entry(connection, session_id, Wanted(commit.archive), origin, site)
    built = await build_entry(connection, session_id, commit.fields, origin, site)
    if wanted is None or entry.project is None:
        problem = UNASSIGNED if commit.auto_archive and entry.project is None else None
        sessions = [await lock_session(connection, one) for one in built]
        return tuple(Archived(one.id, uri_of(one), problem) for one in sessions)
    archived = [one for part in built for one in await archive_entry(connection, part, wanted, origin, site)]
    return tuple(archived)


async def _wanted(connection: AsyncConnection, entry: Session, commit: Commit) -> Wanted | None:
    """How the entry is to be archived; None if it is to stay. The command says first, then the entry, its project.

    Where nobody asks for it now, it is as the last import of the entry has asked.
    """
    if commit.auto_archive is not None:
        return Wanted(commit.archive) if commit.auto_archive else None
    codes = await load_codes(connection, entry.project)
    by_default = codes.prearchive >= AUTO_ARCHIVE if entry.auto_archive is None else entry.auto_archive
    if not (by_default or entry.is_direct):
        return None
    is_plain = commit.archive == Archive()
    return Wanted(await _as_imported(connection, entry.id) if is_plain else commit.archive, is_automatic=True)


async def _as_imported(connection: AsyncConnection, session_id: str) -> Archive:
    query = (
        sa.select(imports.c.request)
        .join_from(imports, import_sessions, import_sessions.c.import_id == imports.c.id)
        .where(import_sessions.c.session_id == session_id)
        .order_by(imports.c.received_at.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return Archive()
    archive = Commit.of_import(ImportRequest.model_validate(row.request)).archive
    return archive.model_copy(update={"subject": None, "session": None, "xml_paths": {}})

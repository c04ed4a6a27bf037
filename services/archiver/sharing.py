"""Merges imports of gradual-DICOM and DICOM-zip into the entries that they share (import semantics §3.3, §3.4)."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.commands import Commit
from libs.common.database import hold_import, transaction
from libs.common.entries import take_back
from libs.common.errors import UserError
from libs.common.facts import FILTERED, Verdict
from libs.common.importers import IMPORTERS, Entries
from libs.common.messages import ImportStaged, MembersFound
from libs.common.outbox import Origin, Site
from libs.common.requests import Atomicity, ImportRequest, Unparsable
from libs.common.schema import import_members, import_sessions
from services.archiver.archiving import Archived, lock_session
from services.archiver.arrivals import Gone, receive_entry
from services.archiver.batches import unroute
from services.archiver.cases import Outcome, Problem
from services.archiver.committing import commit_entry
from services.archiver.rows import Import, load_open_entries


def is_shared(request: ImportRequest) -> bool:
    """Whether the import's files go to entries that imports share."""
    return IMPORTERS[request.handler].entries is Entries.SHARED


async def merge_shared(
    engine: AsyncEngine, submission: Import, entries: Sequence[str], site: Site
) -> list[ImportStaged | MembersFound] | None:
    """Add the import's files to its entries; with `action=commit`, commit them. None: the import is merged.

    Otherwise what is to be told, and the import goes on when it is told of again: its entry is gone, so that it is
    routed anew; or it waits with its commit for imports that came to the entry before it was staged.

    Raises:
        UserError: a file is damaged, and the sender wants all or none; or nothing was DICOM.
    """
    try:
        async with transaction(engine) as connection:
            await _check_members(connection, submission, entries)
    except UserError:
        async with transaction(engine) as connection:
            await take_back(connection, submission.id)
        raise
    try:
        for entry_id in entries:
            async with transaction(engine) as connection:
                if await hold_import(connection, submission.id):
                    await receive_entry(connection, submission, entry_id)
    except Gone as gone:
        async with transaction(engine) as connection:
            return list(await unroute(connection, submission.id, gone.session_id))
    return await _commit(engine, submission, entries, site) if submission.request.commit else None


async def _check_members(connection: AsyncConnection, submission: Import, entries: Sequence[str]) -> None:
    """Raise `UserError` naming the first damaged file, or the last unreadable one where nothing is for any session."""
    columns = import_members.c
    mine = sa.and_(columns.import_id == submission.id, columns.verdict == Verdict.SKIPPED)
    query = sa.select(columns.path, columns.reason)
    unparsable = submission.request.unparsable or IMPORTERS[submission.request.handler].unparsable
    found = None
    if unparsable is Unparsable.REFUSE:
        is_damaged = columns.reason.startswith("damaged")
        found = (await connection.execute(query.where(mine, is_damaged).order_by(columns.ordinal).limit(1))).first()
    if found is None and not entries and not await _has_sessions(connection, submission):
        is_other = sa.not_(columns.reason.startswith(FILTERED))
        found = (
            await connection.execute(query.where(mine, is_other).order_by(columns.ordinal.desc()).limit(1))
        ).first()
    if found is not None:
        name = found.path.rsplit("/", 1)[-1]
        raise UserError("not-dicom", f"unable to read DICOM object {name}: {found.reason}. Nothing is imported.")


async def _has_sessions(connection: AsyncConnection, submission: Import) -> bool:
    query = sa.select(import_sessions.c.session_id).where(import_sessions.c.import_id == submission.id).limit(1)
    return await connection.scalar(query) is not None


async def _commit(
    engine: AsyncEngine, submission: Import, entries: Sequence[str], site: Site
) -> list[ImportStaged | MembersFound] | None:
    async with transaction(engine) as connection:
        if await _must_wait(connection, submission, entries):
            return []
    commit = Commit.of_import(submission.request)
    if submission.request.atomicity is Atomicity.IMPORT:
        async with transaction(engine) as connection:
            if await hold_import(connection, submission.id):
                await _commit_together(connection, submission, entries, commit, site)
    else:
        for entry_id in entries:
            async with transaction(engine) as connection:
                if await hold_import(connection, submission.id):
                    await _commit_entry(connection, submission, entry_id, commit, site)
    async with transaction(engine) as connection:  # an entry that became two meanwhile has left both to be committed
        is_left = await load_open_entries(connection, submission.id)
        return [ImportStaged(import_id=submission.id)] if is_left else None


async def _must_wait(connection: AsyncConnection, submission: Import, entries: Sequence[str]) -> bool:
    """Whether parallel imports have files for these entries that are not merged: who merges last commits for all.

    Only those that came before this one was staged, so that a stream of imports holds nobody for ever.
    """
    query = sa.text(
        "select exists (select from import_sessions s join imports i on i.id = s.import_id"
        " join imports own on own.id = :import_id"
        " where s.session_id = any(:entries) and s.outcome is null and s.uri = '' and s.import_id <> own.id"
        " and i.outcome is null and i.received_at < own.staged_at)"
    )
    return bool(await connection.scalar(query, {"import_id": submission.id, "entries": list(entries)}))


async def _commit_entry(
    connection: AsyncConnection, submission: Import, entry_id: str, commit: Commit, site: Site
) -> Problem | None:
    """Commit one entry; a conflict leaves it in the prearchive with its reason, and is the import's outcome."""
    await lock_session(connection, entry_id)
    columns = import_sessions.c
    mine = sa.and_(columns.import_id == submission.id, columns.session_id == entry_id, columns.outcome.is_(None))
    ordinal = await connection.scalar(sa.select(columns.ordinal).where(mine).with_for_update())
    if ordinal is None:
        return None  # another delivery has committed it, or it became two
    origin = Origin(submission.login, import_id=submission.id)
    first, *others = await commit_entry(connection, entry_id, commit, origin, site)
    await connection.execute(sa.update(import_sessions).where(mine).values(_outcome(first)))
    for other in others:
        row = {"import_id": submission.id, "session_id": other.session_id, "ordinal": ordinal}
        await connection.execute(sa.insert(import_sessions).values(row | _outcome(other)))
    return next((one.problem for one in (first, *others) if one.problem is not None), None)


async def _commit_together(
    connection: AsyncConnection, submission: Import, entries: Sequence[str], commit: Commit, site: Site
) -> None:
    """All entries land, or all wait in the prearchive: also those that clash with nothing, for the reason of one."""
    attempt = await connection.begin_nested()
    for entry_id in entries:
        problem = await _commit_entry(connection, submission, entry_id, commit, site)
        if problem is not None:
            await attempt.rollback()
            for held in entries:
                await _hold_entry(connection, submission, held, commit, problem, site)
            return
    await attempt.commit()


async def _hold_entry(
    connection: AsyncConnection, submission: Import, entry_id: str, commit: Commit, problem: Problem, site: Site
) -> None:
    """Let an entry wait with its own reason; built, and with that of another, where it has none."""
    attempt = await connection.begin_nested()
    if await _commit_entry(connection, submission, entry_id, commit, site) is not None:
        await attempt.commit()
        return
    await attempt.rollback()
    stays = commit.model_copy(update={"auto_archive": False})
    await _commit_entry(connection, submission, entry_id, stays, site)
    columns = import_sessions.c
    mine = sa.and_(columns.import_id == submission.id, columns.session_id == entry_id)
    values = {"outcome": problem.outcome, "code": problem.code, "detail": problem.detail}
    await connection.execute(sa.update(import_sessions).where(mine).values(values))


def _outcome(archived: Archived) -> dict[str, str]:
    problem = archived.problem
    return {
        "uri": archived.uri,
        "outcome": Outcome.MERGED if problem is None else problem.outcome,
        "code": "" if problem is None else problem.code,
        "detail": "" if problem is None else problem.detail,
    }

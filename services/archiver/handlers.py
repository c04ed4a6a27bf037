"""What the archiver does with its messages: stage a batch's members, merge an import into its sessions."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.commands import EntryFields
from libs.common.database import finished_if_catalogued, hold_import, staged_if_complete, transaction
from libs.common.errors import Retryable
from libs.common.messages import (
    CommandReceived,
    ImportFinished,
    ImportStaged,
    MembersFound,
    MembersRouted,
    SessionChanged,
)
from libs.common.outbox import Origin, Site
from libs.common.requests import Atomicity, Duplicates
from libs.common.schema import imports, session_changes
from libs.common.waiting import waiting_on_import
from services.archiver.batches import Known, Routed, is_staged, load_known, load_routed, unstage, write_staged
from services.archiver.building import build_entry
from services.archiver.cases import Case, Decision, Place, Problem, Status
from services.archiver.changes import write_decision
from services.archiver.merge import decide, hold
from services.archiver.rows import Import, find_archived, load_import, load_open_entries, lock_case, lost
from services.archiver.sharing import is_shared, merge_shared
from services.archiver.staging import Stager

Told = MembersFound | MembersRouted | ImportStaged | SessionChanged | ImportFinished | CommandReceived


async def stage_members(message: MembersRouted, stager: Stager, engine: AsyncEngine) -> list[ImportStaged]:
    """Store each routed member of a batch once.

    Safe to repeat: keys derive from import and member, so the same bytes go to the same place; a batch that is staged
    is only told again, and one of an import that has ended is left alone.

    Raises:
        Retryable: the store or the database is away.
    """
    async with transaction(engine) as connection:
        if await is_staged(connection, message.batch_id):
            return await staged_if_complete(connection, message.import_id)
        submission = await load_import(connection, message.import_id)
        if submission.is_ended:
            return []
        routed = await load_routed(connection, message.batch_id)
        known = await _load_known(connection, submission, routed)
    staged = await stager.stage(routed, known)
    async with transaction(engine) as connection:
        await write_staged(connection, message.import_id, message.batch_id, staged)
        return await staged_if_complete(connection, message.import_id)


async def _load_known(connection: AsyncConnection, submission: Import, routed: Sequence[Routed]) -> Known:
    """What the archived sessions that these members are going to have of them already."""
    if submission.request.duplicates is not Duplicates.IDENTICAL or is_shared(submission.request):
        return {}
    uids: dict[str, list[str]] = defaultdict(list)
    for one in routed:
        if one.sop_instance_uid:
            uids[one.session_id].append(one.sop_instance_uid)
    known: Known = {}
    for entry_id in sorted(uids):
        target = await find_archived(connection, entry_id, submission)
        if target is not None:
            known = {**known, **await load_known(connection, target, uids[entry_id])}
    return known


async def merge_import(message: ImportStaged, engine: AsyncEngine, site: Site) -> list[Told]:
    """Let each session of a staged import join the archive or the prearchive, or wait there with its reason.

    Safe to repeat: a session that has its outcome is left alone, and what it changed is told again.

    Raises:
        Retryable: the database is away, or another import made the same session at the same moment.
    """
    async with transaction(engine) as connection:
        submission = await load_import(connection, message.import_id)
        entries = await load_open_entries(connection, message.import_id)
    if submission.is_ended:
        return [ImportFinished(import_id=submission.id)]
    if not submission.is_staged:
        return []  # some of it is routed or staged anew: this is told again then
    try:
        if is_shared(submission.request):
            told = await merge_shared(engine, submission, entries, site)
            if told is not None:
                return list(told)
        elif submission.request.atomicity is Atomicity.IMPORT:
            async with transaction(engine) as connection:
                await _merge_together(connection, submission, entries, site)
        else:
            for entry_id in entries:
                async with transaction(engine) as connection:
                    await _merge_one(connection, submission, entry_id, site)
    except _Lost as missing:
        async with transaction(engine) as connection:
            return list(await unstage(connection, submission.id, missing.ordinals))
    except IntegrityError as error:
        raise raced(error) from error
    return await _finish(engine, submission)


class _Lost(Exception):  # noqa: N818 - a situation
    """Objects that an archived session had when the members were staged are no longer its own."""

    def __init__(self, ordinals: list[int]) -> None:
        super().__init__()
        self.ordinals = ordinals


class _Refused(Exception):  # noqa: N818
    """One session of several cannot land, so none does."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


async def _merge_one(connection: AsyncConnection, submission: Import, entry_id: str, site: Site) -> None:
    case = await _lock(connection, submission, entry_id)
    if case is not None:
        await _write(connection, submission, case, decide(case), site)


async def _write(connection: AsyncConnection, submission: Import, case: Case, decision: Decision, site: Site) -> None:
    """Write a decision; an entry that others still fill is built with what came by this import (§7.6)."""
    await write_decision(connection, submission, case, decision, site)
    joined = decision.joins
    if joined is not None and joined.place is Place.PREARCHIVE and joined.status == Status.RECEIVING:
        origin = Origin(submission.login, import_id=submission.id)
        await build_entry(connection, joined.id, EntryFields(), origin, site)


async def _merge_together(connection: AsyncConnection, submission: Import, entries: Sequence[str], site: Site) -> None:
    """All land, or all wait in the prearchive: also those that are not refused, with the reason of one that is."""
    try:
        async with connection.begin_nested():
            for entry_id in entries:
                case = await _lock(connection, submission, entry_id)
                if case is not None:
                    await _write(connection, submission, case, _landing(case), site)
    except _Refused as refused:
        for entry_id in entries:
            case = await _lock(connection, submission, entry_id)
            if case is not None:
                decision = decide(case)
                decision = decision if decision.problem is not None else hold(case, refused.problem)
                await _write(connection, submission, case, decision, site)


def _landing(case: Case) -> Decision:
    decision = decide(case)
    if decision.problem is not None:
        raise _Refused(decision.problem)
    return decision


async def _lock(connection: AsyncConnection, submission: Import, entry_id: str) -> Case | None:
    if not await hold_import(connection, submission.id):
        return None  # cancelled meanwhile
    case = await lock_case(connection, submission, entry_id)
    if case is not None and (missing := lost(case)):
        raise _Lost(missing)
    return case


def raced(error: IntegrityError) -> Exception:
    """Only the names of sessions are left to an index to arbitrate; anything else that it refuses is a bug."""
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint in {"sessions_archived", "sessions_prearchived", "sessions_shared"}:
        return Retryable("session-raced", "another session has taken the name at the same moment")
    return error


async def _finish(engine: AsyncEngine, submission: Import) -> list[Told]:
    """The import is merged: its changes are told, or its end if there are none; what waited for it goes on."""
    import_id = submission.id
    async with transaction(engine) as connection:
        await connection.execute(
            sa.update(imports)
            .where(imports.c.id == import_id, imports.c.merged_at.is_(None))
            .values(merged_at=datetime.now(UTC))
        )
        columns = session_changes.c
        rows = await connection.execute(
            sa.select(columns.session_id, columns.revision)
            .where(columns.import_id == import_id, columns.catalogued_at.is_(None))
            .order_by(columns.session_id, columns.revision)
        )
        changed = [SessionChanged(import_id=import_id, session_id=r.session_id, revision=r.revision) for r in rows]
        waiting = await waiting_on_import(connection, import_id)
        return [*changed, *await finished_if_catalogued(connection, import_id), *waiting]

"""Lets a prearchive entry join the archive, as an import's merge does, by moving rows (import semantics §7.2-7.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import names
from libs.common.commands import EntryFields
from libs.common.errors import UserError
from libs.common.outbox import Change, Origin, Site, all_resources, write_change
from libs.common.schema import sessions
from services.archiver.assessors import is_scan_id
from services.archiver.building import build_entry
from services.archiver.cases import Case, Decision, Outcome, Place, Problem, Session, Status
from services.archiver.changes import ensure_subject, uri_of
from services.archiver.contents import describe_scans
from services.archiver.joining import move_contents
from services.archiver.merge import decide
from services.archiver.rows import load_session
from services.archiver.stored import Wanted, load_stored_case

NO_FILES = Problem("no-files", "The session has no files: there is nothing to archive.")
MERGED = "merged"
"""Why an entry that has joined a session is told to be gone."""


@dataclass(frozen=True, slots=True)
class Archived:
    """Where a session is after it was to be archived; `problem` says why it still waits in the prearchive."""

    session_id: str
    uri: str
    problem: Problem | None = None


async def archive_entry(
    connection: AsyncConnection, session_id: str, wanted: Wanted, origin: Origin, site: Site
) -> tuple[Archived, ...]:
    """Archive an entry in the caller's transaction; both halves where its build has split it.

    An entry that is archived already is only told where it is, so this is safe to repeat. One that still receives is
    built first. What conflicts stays as it is, with its reason.

    Raises:
        UserError: it is not in the prearchive, or in no project.
    """
    entry = await lock_session(connection, session_id)
    if entry.place in {Place.ARCHIVE, Place.MERGED}:
        return (await _whereabouts(connection, entry),)
    if entry.place is not Place.PREARCHIVE:
        raise UserError("not-found", "Unknown prearchive session.")
    if entry.project is None:
        raise UserError("unassigned", "Cannot archive sessions from the Unassigned folder.")
    if entry.status != "RECEIVING":
        return (await _archive(connection, entry, wanted, origin, site),)
    built = await build_entry(connection, session_id, EntryFields(), origin, site)
    return tuple(
        [await _archive(connection, await lock_session(connection, one), wanted, origin, site) for one in built]
    )


async def lock_session(connection: AsyncConnection, session_id: str) -> Session:
    """A session, locked, without its contents. Raises `UserError` if it is no more."""
    session = await load_session(connection, sa.select(sessions).where(sessions.c.id == session_id).with_for_update())
    if session is None:
        raise UserError("not-found", "Unknown session.")
    return session


async def _whereabouts(connection: AsyncConnection, entry: Session) -> Archived:
    if entry.place is Place.ARCHIVE:
        return Archived(entry.id, uri_of(entry))
    home = await connection.scalar(sa.select(sessions.c.merged_into).where(sessions.c.id == entry.id))
    return await _whereabouts(connection, await lock_session(connection, str(home)))


async def _archive(connection: AsyncConnection, entry: Session, wanted: Wanted, origin: Origin, site: Site) -> Archived:
    case = await load_stored_case(connection, entry, wanted)
    if not case.files and not case.entry.assessors:
        return await _hold(connection, entry, NO_FILES, origin, site)
    decision = decide(case)
    if decision.problem is not None:
        return await _hold(connection, entry, decision.problem, origin, site)
    if decision.joins is None:
        uri = await _move_in(connection, case, decision, wanted, origin, site)
        return Archived(entry.id, uri)
    if decision.outcome is not Outcome.UNCHANGED:
        await _write_target(connection, case, decision, wanted, origin, site)
    else:
        await move_contents(connection, case, decision.contents, decision.joins)
    await _close(connection, entry, decision.joins, origin, site)
    return Archived(decision.joins.id, uri_of(decision.joins))


async def _hold(connection: AsyncConnection, entry: Session, problem: Problem, origin: Origin, site: Site) -> Archived:
    """The entry waits with its reason; it is seen from now on (A52)."""
    status = Status.CONFLICT if problem.outcome is Outcome.CONFLICT else Status.ERROR
    values = {"status": status, "status_reason": problem.detail, "is_direct": False}
    await write_session(connection, entry.id, values)
    await write_change(connection, Change(entry.id, "conflict", reason=problem.code), origin, site)
    return Archived(entry.id, uri_of(entry), problem)


async def _move_in(
    connection: AsyncConnection, case: Case, decision: Decision, wanted: Wanted, origin: Origin, site: Site
) -> str:
    """The entry's row becomes the archived session: its files and resources stay where they are."""
    subject = await ensure_subject(connection, case, origin.login, site)
    values: dict[str, object] = {
        "place": Place.ARCHIVE,
        "status": Status.ARCHIVED,
        "status_reason": "",
        "label": case.aim.label,
        "subject_id": subject.id,
        "subject_label": subject.label,
        "xsi_type": decision.xsi_type,
        "attributes": decision.attributes,
        "fields": sessions.c.fields.concat(sa.literal(wanted.fields, sessions.c.fields.type)),
        "archived_at": datetime.now(UTC),
        "quarantined": case.policy.quarantines,
        "is_shared": False,
        "is_direct": False,
    }
    await write_session(connection, case.entry.id, values)
    await describe_scans(connection, case.entry.id)
    change = Change(
        case.entry.id,
        "archived",
        resources=await all_resources(connection, case.entry.id),
        scans={scan.scan_id for scan in case.entry.scans},
        files_added=len(case.files),
        pipelines=wanted.archive.trigger_pipelines,
    )
    await write_change(connection, change, origin, site)
    return names.archive_uri(str(case.entry.project), subject.label, case.aim.label)


async def _write_target(
    connection: AsyncConnection, case: Case, decision: Decision, wanted: Wanted, origin: Origin, site: Site
) -> None:
    target = decision.joins
    assert target is not None  # noqa: S101 - the caller has seen it
    gained = await move_contents(connection, case, decision.contents, target)
    own = await connection.scalar(sa.select(sessions.c.fields).where(sessions.c.id == case.entry.id))
    fields = sa.literal({**(own or {}), **wanted.fields}, sessions.c.fields.type)
    values: dict[str, object] = {
        "xsi_type": decision.xsi_type,
        "attributes": decision.attributes,
        "fields": fields.concat(sessions.c.fields),
    }
    if case.policy.quarantines:
        values["quarantined"] = True
    await write_session(connection, target.id, values)
    files = decision.contents.files
    change = Change(
        target.id,
        "updated",
        resources=gained,
        scans={one.scan_id for one in files if is_scan_id(one.scan_id)},
        files_added=sum(one.replaces is None for one in files),
        files_replaced=sum(one.replaces is not None for one in files),
        pipelines=wanted.archive.trigger_pipelines,
    )
    await write_change(connection, change, origin, site)


async def _close(connection: AsyncConnection, entry: Session, target: Session, origin: Origin, site: Site) -> None:
    values = {"place": Place.MERGED, "merged_into": target.id, "status": Status.READY, "status_reason": ""}
    await write_session(connection, entry.id, {**values, "is_shared": False, "is_direct": False})
    await write_change(connection, Change(entry.id, "deleted", reason=MERGED), origin, site)


async def write_session(connection: AsyncConnection, session_id: str, values: Mapping[str, object]) -> None:
    """Change a session's row, and give it the next revision."""
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == session_id)
        .values(**values, revision=sessions.c.revision + 1, updated_at=datetime.now(UTC))
    )

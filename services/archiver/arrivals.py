"""Adds what an import has stored to a prearchive entry that imports share (architecture §5; docs/flow.md).

Imports of one entry take turns on its row, each for one short transaction: only the rows that its own files can meet
are read. While an entry is RECEIVING there is no change to tell: its build tells of all that has come.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import names
from libs.common.preferences import load_preferences
from libs.common.requests import Area
from libs.common.schema import import_sessions, sessions
from services.archiver.cases import Aim, Case, Decision, NewFile, Outcome, Place, Policy, Session, StoredFile
from services.archiver.changes import write_findings
from services.archiver.contents import write_contents
from services.archiver.receiving import Names, receive
from services.archiver.rows import (
    Import,
    load_new_files,
    load_open_entries,
    load_series,
    load_session,
    with_contents,
)

_TELLING = ("SOPInstanceUID", "InstanceNumber")
"""What in a file name template tells instances apart, also within a hash."""


class Gone(Exception):  # noqa: N818 - a situation
    """The entry that an import was routed to has left the prearchive: archived, deleted or merged by a command."""

    def __init__(self, session_id: str) -> None:
        super().__init__()
        self.session_id = session_id


async def receive_entry(connection: AsyncConnection, submission: Import, session_id: str) -> None:
    """Merge the import's files into the entry. Safe to repeat: what is merged has its URI, and is left alone.

    Raises:
        Gone: the entry is not in the prearchive any more.
    """
    entry = await _lock(connection, session_id)
    if await _is_received(connection, submission.id, session_id):
        return
    if entry is None or entry.place is not Place.PREARCHIVE:
        raise Gone(session_id)
    case, called = await _load(connection, submission, entry)
    decision = receive(case, called)
    if decision.contents.files:
        await write_contents(connection, entry.id, decision.contents, submission, entry.revision + 1)
        await _write_entry(connection, submission, entry, decision)
    elif decision.outcome is not Outcome.ERROR:
        await _touch(connection, entry.id)
    await write_findings(connection, submission.id, entry.id, decision.findings)
    await _write_outcome(connection, submission, entry, decision)


async def _lock(connection: AsyncConnection, session_id: str) -> Session | None:
    """FOR NO KEY UPDATE: routers that let more imports join (FOR KEY SHARE) need not wait, commands must."""
    query = sa.select(sessions).where(sessions.c.id == session_id).with_for_update(key_share=True)
    return await load_session(connection, query)


async def _is_received(connection: AsyncConnection, import_id: UUID, session_id: str) -> bool:
    columns = import_sessions.c
    query = sa.select(columns.uri != "").where(columns.import_id == import_id, columns.session_id == session_id)
    return bool(await connection.scalar(query)) or session_id not in await load_open_entries(connection, import_id)


async def _load(connection: AsyncConnection, submission: Import, entry: Session) -> tuple[Case, Names]:
    files = await load_new_files(connection, submission.id, entry.id)
    called = await _load_names(connection, submission)
    present = {file.series_instance_uid for file in files}
    series = [s for s in await load_series(connection, submission.id, entry.id) if s.series_instance_uid in present]
    entry = await with_contents(connection, entry, ())
    entry = replace(entry, files=await _load_met(connection, entry, files, called))
    policy = Policy(Area.PREARCHIVE)
    return Case(entry, Aim(Area.PREARCHIVE), policy, tuple(series), tuple(files)), called


async def _load_names(connection: AsyncConnection, submission: Import) -> Names:
    template = (await load_preferences(connection)).file_name_template
    return Names(submission.request.naming, any(keyword in template for keyword in _TELLING))


async def _load_met(
    connection: AsyncConnection, entry: Session, files: Sequence[NewFile], called: Names
) -> tuple[StoredFile, ...]:
    """The stored files that have an instance or a name of the new ones: few, however many there are."""
    query = sa.text(
        "select f.id, r.scan, r.label, f.name, f.sop_instance_uid, f.sop_class_uid, f.sha256, f.object_key"
        " from files f join resources r on r.id = f.resource where r.session_id = :session and r.scan is not null"
        " and f.id in (select id from files where session_id = :session and sop_instance_uid = any(:uids)"
        " union select g.id from resources q join files g on g.resource = q.id"
        " where q.session_id = :session and g.name = any(:names)) order by f.id"
    )
    uids = sorted({file.sop_instance_uid for file in files})
    wanted = sorted({name for file in files for name in called.candidates(file)})
    rows = await connection.execute(query, {"session": entry.id, "uids": uids, "names": wanted})
    return tuple(StoredFile(*row) for row in rows)


async def _write_entry(connection: AsyncConnection, submission: Import, entry: Session, decision: Decision) -> None:
    """Whatever it was, it is RECEIVING now (§7.6)."""
    fields = sa.literal(submission.request.xml_paths, sessions.c.fields.type)
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == entry.id)
        .values(
            status=decision.status,
            status_reason="",
            xsi_type=decision.xsi_type,
            attributes=decision.attributes,
            fields=sessions.c.fields.concat(fields),
            revision=entry.revision + 1,
            updated_at=datetime.now(UTC),
        )
    )


async def _touch(connection: AsyncConnection, session_id: str) -> None:
    """The idle time starts again: its sender still sends."""
    await connection.execute(
        sa.update(sessions).where(sessions.c.id == session_id).values(updated_at=datetime.now(UTC))
    )


async def _write_outcome(connection: AsyncConnection, submission: Import, entry: Session, decision: Decision) -> None:
    """With `action=commit` the outcome is the commit's; the URI says that the files are in the entry."""
    outcome = None if submission.request.commit and decision.problem is None else decision.outcome
    await connection.execute(
        sa.update(import_sessions)
        .where(import_sessions.c.import_id == submission.id, import_sessions.c.session_id == entry.id)
        .values(
            uri=entry_uri(entry) if decision.problem is None else "",
            outcome=outcome,
            code="" if decision.problem is None else decision.problem.code,
            detail="" if decision.problem is None else decision.problem.detail,
        )
    )


def entry_uri(entry: Session) -> str:
    """Where a client finds the entry: one of `Direct-Archive` is hidden, and known by its study (§1.6)."""
    if entry.is_direct:
        return names.direct_archive_uri(str(entry.project), entry.study_instance_uid, entry.label)
    return names.prearchive_uri(entry.project, entry.timestamp, entry.folder)

"""Writes a decision: one session of one import, in the transaction that it was decided in."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import names
from libs.common.importers import IMPORTERS, Reads
from libs.common.outbox import Change, Origin, Site, write_change
from libs.common.requests import Area
from libs.common.schema import import_members, import_sessions, sessions, subject_ids, subjects
from services.archiver.assessor_rows import find_id, write_assessors
from services.archiver.assessors import is_scan_id
from services.archiver.cases import Case, Decision, Finding, Outcome, Place, Session, Status, Subject
from services.archiver.contents import describe_scans, write_contents
from services.archiver.filenames import free_name
from services.archiver.rows import Import, find_subject

_entry = sessions.alias("entry")


@dataclass(frozen=True, slots=True)
class _Landing:
    """One decision on its way into the tables."""

    submission: Import
    case: Case
    decision: Decision
    site: Site


@dataclass(frozen=True, slots=True)
class _Home:
    """The session that has changed, as it is called from now on."""

    id: str
    prefix: str
    revision: int
    uri: str
    values: Mapping[str, object]


async def write_decision(
    connection: AsyncConnection, submission: Import, case: Case, decision: Decision, site: Site
) -> None:
    """Write everything that the decision means: rows of the session, its change, the verdicts, the import's outcome."""
    if decision.outcome is Outcome.UNCHANGED or decision.place is Place.DELETED:
        home_id, uri = ("", "") if decision.joins is None else (decision.joins.id, uri_of(decision.joins))
    else:
        landing = _Landing(submission, case, decision, site)
        home = await _home(connection, landing)
        await _write_home(connection, landing, home)
        home_id, uri = home.id, home.uri
    if decision.joins is not None or decision.place is Place.DELETED:
        await _close_entry(connection, case.entry, decision)
    await write_findings(connection, submission.id, case.entry.id, decision.findings)
    if IMPORTERS[submission.request.handler].reads is Reads.DOCUMENTS and uri.startswith("/archive/"):
        uri = await _uri_by_id(connection, case, home_id)
    await connection.execute(
        sa.update(import_sessions)
        .where(import_sessions.c.import_id == submission.id, import_sessions.c.session_id == case.entry.id)
        .values(
            uri=uri,
            outcome=decision.outcome,
            code="" if decision.problem is None else decision.problem.code,
            detail="" if decision.problem is None else decision.problem.detail,
        )
    )


async def _uri_by_id(connection: AsyncConnection, case: Case, session_id: str) -> str:
    """What the sender of documents is answered: the session by its ID, or the one assessor that is added (§1.6)."""
    uri = f"/archive/experiments/{session_id}"
    stated = [one.stated for one in case.series if one.stated is not None]
    labels = [one.assessor.label for one in stated if one.assessor is not None]
    if len(labels) != 1 or not any(one.adds for one in stated) or any(one.scan_id for one in stated):
        return uri
    return f"{uri}/assessors/{await find_id(connection, session_id, labels[0])}"


async def _home(connection: AsyncConnection, landing: _Landing) -> _Home:
    case, decision, entry = landing.case, landing.decision, landing.case.entry
    values: dict[str, object] = {"xsi_type": decision.xsi_type, "attributes": decision.attributes}
    fields = sa.literal(landing.submission.request.xml_paths, sessions.c.fields.type)
    if decision.joins is not None:
        there = decision.joins
        own = sa.select(_entry.c.fields).where(_entry.c.id == entry.id).scalar_subquery()
        values |= {"fields": fields.concat(own).concat(sessions.c.fields)}
        if case.policy.quarantines:
            values |= {"quarantined": True}
        if case.policy.area is Area.PREARCHIVE:
            values |= {"status": decision.status, "status_reason": ""}
        return _Home(there.id, there.prefix, there.revision + 1, uri_of(there), values)
    reason = "" if decision.problem is None else decision.problem.detail
    values |= {"place": decision.place, "status": decision.status, "status_reason": reason}
    values |= {"fields": sessions.c.fields.concat(fields)}
    if decision.place is Place.ARCHIVE:
        subject = await ensure_subject(connection, case, landing.submission.login, landing.site)
        values |= {"label": case.aim.label, "subject_id": subject.id, "subject_label": subject.label}
        values |= {"archived_at": datetime.now(UTC), "quarantined": case.policy.quarantines}
        uri = names.archive_uri(str(entry.project), subject.label, case.aim.label)
    else:
        timestamp, folder = await _prearchive_place(connection, case, decision)
        values |= {"timestamp": timestamp, "folder": folder}
        uri = names.prearchive_uri(entry.project, timestamp, folder)
    return _Home(entry.id, entry.prefix, entry.revision + 1, uri, values)


async def _write_home(connection: AsyncConnection, landing: _Landing, home: _Home) -> None:
    submission, decision = landing.submission, landing.decision
    site_id, login = landing.site.site_id, submission.login
    assessors = await write_assessors(connection, home.id, decision.contents.assessors, site_id, login)
    gains = await write_contents(connection, home.id, decision.contents, submission, home.revision, assessors)
    if decision.status is Status.ARCHIVED:
        await describe_scans(connection, home.id)
    now = datetime.now(UTC)
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == home.id)
        .values(**home.values, revision=home.revision, updated_at=now)
    )
    files = decision.contents.files
    change = Change(
        home.id,
        _verb(decision),
        resources=[gain.row for gain in gains],
        scans={planned.scan_id for planned in files if is_scan_id(planned.scan_id)},
        files_added=sum(planned.replaces is None for planned in files),
        files_replaced=sum(planned.replaces is not None for planned in files),
        pipelines=submission.request.trigger_pipelines and decision.status is Status.ARCHIVED,
        reason="" if decision.problem is None else decision.problem.code,
    )
    await write_change(connection, change, Origin(submission.login, import_id=submission.id), landing.site)


def _verb(decision: Decision) -> str:
    if decision.problem is not None:
        return "conflict"
    if decision.status is not Status.ARCHIVED:
        return "received"
    return "updated" if decision.joins is not None else "archived"


def uri_of(session: Session) -> str:
    """Where a session is, without `/data`."""
    if session.place is Place.ARCHIVE:
        return names.archive_uri(str(session.project), session.subject_label, session.label)
    return names.prearchive_uri(session.project, session.timestamp, session.folder)


async def ensure_subject(connection: AsyncConnection, case: Case, login: str, site: Site) -> Subject:
    """The subject of a new session, made where there is none; two that need it at once make one."""
    if case.subject is not None:
        return case.subject
    label = names.clean_label(case.aim.subject or "")
    number = await connection.scalar(sa.select(subject_ids.next_value()))
    row = {"id": f"{site.site_id}_S{number:05d}", "label": label, "project": case.entry.project}
    await connection.execute(insert(subjects).values(**row, created_by=login).on_conflict_do_nothing())
    subject = await find_subject(connection, case.entry.project, label)
    assert subject is not None  # noqa: S101 - just made
    return subject


async def _prearchive_place(connection: AsyncConnection, case: Case, decision: Decision) -> tuple[str, str]:
    """Where the entry is from now on: where it was opened, or where `dest` named; a name taken gets a suffix (§2.2)."""
    entry, aim = case.entry, case.aim
    if decision.problem is not None or aim.area is Area.ARCHIVE or aim.timestamp is None:
        return entry.timestamp, entry.folder
    if aim.folder is not None:
        return aim.timestamp, aim.folder
    return aim.timestamp, free_name(entry.folder, await folders_taken(connection, entry, aim.timestamp))


async def folders_taken(connection: AsyncConnection, entry: Session, timestamp: str) -> set[str]:
    """The folders that other entries of the project have under a timestamp."""
    columns = sessions.c
    used = await connection.scalars(
        sa.select(columns.folder).where(
            sa.func.coalesce(columns.project, names.UNASSIGNED) == (entry.project or names.UNASSIGNED),
            columns.timestamp == timestamp,
            columns.place.in_((Place.OPENING, Place.PREARCHIVE)),
            columns.id != entry.id,
        )
    )
    return set(used)


async def _close_entry(connection: AsyncConnection, entry: Session, decision: Decision) -> None:
    place = Place.DELETED if decision.joins is None else Place.MERGED
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == entry.id)
        .values(
            place=place,
            merged_into=None if decision.joins is None else decision.joins.id,
            status=decision.status,
            status_reason="" if decision.problem is None else decision.problem.detail,
            updated_at=datetime.now(UTC),
        )
    )


async def write_findings(
    connection: AsyncConnection, import_id: UUID, session_id: str, findings: Mapping[int, Finding]
) -> None:
    """One statement for what is special, one for what most members share."""
    if not findings:
        return
    usual = Counter(findings.values()).most_common(1)[0][0]
    special = {ordinal: finding for ordinal, finding in findings.items() if finding != usual}
    if special:
        query = sa.text(
            "update import_members set verdict = found.verdict, reason = found.reason"
            " from unnest(cast(:ordinals as int[]), cast(:verdicts as text[]), cast(:reasons as text[]))"
            " as found(ordinal, verdict, reason)"
            " where import_id = :import_id and import_members.ordinal = found.ordinal"
        )
        values = {
            "import_id": import_id,
            "ordinals": list(special),
            "verdicts": [str(finding.verdict) for finding in special.values()],
            "reasons": [finding.reason for finding in special.values()],
        }
        await connection.execute(query, values)
    columns = import_members.c
    await connection.execute(
        sa.update(import_members)
        .where(columns.import_id == import_id, columns.session_id == session_id, columns.verdict.is_(None))
        .values(verdict=usual.verdict, reason=usual.reason)
    )

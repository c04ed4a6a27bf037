"""The `imports` rows: accepted once, told until it is confirmed, read until they have an outcome."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.messages import Event, ImportEvent, ImportReceived
from libs.common.names import UNASSIGNED, prearchive_uri
from libs.common.requests import ImportRequest
from libs.common.schema import import_batches, import_sessions, import_sources, imports, sessions
from services.gateway import cache
from services.gateway.uploads import HOW_TO_SEND, NO_FILE, Upload

ATTACH_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Submission:
    """What one sender wants imported: files that are stored, then files of his cache by their paths there."""

    import_id: UUID
    login: str
    request: ImportRequest
    uploads: tuple[Upload, ...]
    cached: tuple[str, ...] = ()
    listener: str | None = None
    idempotency_key: str | None = None

    def request_sha256(self, uploads: Sequence[Upload]) -> str:
        """Digest of parameters and bytes together."""
        text = f"{self.request.model_dump_json()}\n{self.listener or ''}\n{digest_of(uploads)}"
        return hashlib.sha256(text.encode()).hexdigest()


def digest_of(uploads: Sequence[Upload]) -> str:
    """The SHA-256 of one upload; of several, that of their digests in hex, one behind the other."""
    if len(uploads) == 1:
        return uploads[0].sha256
    return hashlib.sha256("".join(upload.sha256 for upload in uploads).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The import that a submission has become, or joined: then `received_at` is None, and it is told already."""

    import_id: UUID
    received_at: datetime | None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """What has become of one session of an import; `prearchive_uri` is where its entry is, or was."""

    uri: str
    outcome: str | None
    code: str
    detail: str
    prearchive_uri: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How an import stands: `outcome` is None while it runs, and `is_routed` once every session has its entry."""

    outcome: str | None
    code: str
    detail: str
    is_routed: bool
    sessions: tuple[SessionOutcome, ...]

    @property
    def uris(self) -> tuple[str, ...]:
        """Where the sessions are, each once, in the order of the upload."""
        return tuple(dict.fromkeys(s.uri for s in self.sessions if s.uri))

    @property
    def prearchive_uris(self) -> tuple[str, ...]:
        """Where their entries are while the import runs."""
        return tuple(dict.fromkeys(s.uri or s.prearchive_uri for s in self.sessions))


async def accept(engine: AsyncEngine, submission: Submission) -> Accepted:
    """Write the row of a submission, or find the import that it repeats (architecture §5, Waiting).

    A repeat has the same user and `Idempotency-Key`; or the same user, parameters and bytes within an hour, while
    the first still runs.

    Raises:
        UserError: the `Idempotency-Key` was used with other parameters; there is no file, or not in the cache.
    """
    login, key = submission.login, submission.idempotency_key
    async with transaction(engine) as connection:
        if key and (known := await _of_key(connection, login, key, submission.request)):
            return Accepted(known, None)  # first: what it took from the cache may be consumed
        uploads = (*submission.uploads, *await cache.lock_files(connection, login, submission.cached))
        if not uploads:
            raise UserError("no-file", f"{NO_FILE} {HOW_TO_SEND}")
        digest = submission.request_sha256(uploads)
        # two that arrive at the same moment: the second waits here, and finds the first
        lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"{login}/{digest}", 0))
        await connection.execute(sa.select(lock))
        if key is None and (running := await _running(connection, login, digest)):
            return Accepted(running, None)
        row = _row(submission, uploads, digest)
        added = insert(imports).values(row).on_conflict_do_nothing().returning(imports.c.received_at)
        received_at = (await connection.execute(added)).scalar_one_or_none()
        if received_at is not None:
            await _add_sources(connection, submission.import_id, uploads)
            return Accepted(submission.import_id, received_at, row["size_bytes"])
        attached = await _of_key(connection, login, key or "", submission.request)
        assert attached is not None  # noqa: S101 - it was in the way of ours
        return Accepted(attached, None)


class _NewImport(TypedDict):
    id: UUID
    login: str
    request: dict[str, object]
    size_bytes: int
    sha256: str
    listener: str | None
    idempotency_key: str | None
    request_sha256: str


def _row(submission: Submission, uploads: Sequence[Upload], digest: str) -> _NewImport:
    return {
        "id": submission.import_id,
        "login": submission.login,
        "request": submission.request.model_dump(mode="json"),
        "size_bytes": sum(upload.size_bytes for upload in uploads),
        "sha256": digest_of(uploads),
        "listener": submission.listener,
        "idempotency_key": submission.idempotency_key,
        "request_sha256": digest,
    }


async def _add_sources(connection: AsyncConnection, import_id: UUID, uploads: Sequence[Upload]) -> None:
    rows = [
        {
            "import_id": import_id,
            "ordinal": ordinal,
            "object_key": upload.key,
            "name": upload.name,
            "size_bytes": upload.size_bytes,
            "sha256": upload.sha256,
        }
        for ordinal, upload in enumerate(uploads)
    ]
    await connection.execute(sa.insert(import_sources), rows)


async def find_by_key(engine: AsyncEngine, login: str, key: str, request: ImportRequest) -> UUID | None:
    """The import that has this `Idempotency-Key`. Its bytes are not compared: who zips again gets other bytes.

    Raises:
        UserError: it has other parameters.
    """
    async with transaction(engine) as connection:
        return await _of_key(connection, login, key, request)


async def _running(connection: AsyncConnection, login: str, digest: str) -> UUID | None:
    columns = imports.c
    query = (
        sa.select(columns.id)
        .where(
            columns.login == login,
            columns.request_sha256 == digest,
            columns.received_at > sa.func.now() - ATTACH_WITHIN,
            columns.outcome.is_(None),
        )
        .order_by(columns.received_at)
        .limit(1)
    )
    return (await connection.execute(query)).scalar_one_or_none()


async def _of_key(connection: AsyncConnection, login: str, key: str, request: ImportRequest) -> UUID | None:
    query = sa.select(imports.c.id, imports.c.request).where(imports.c.login == login, imports.c.idempotency_key == key)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    if ImportRequest.model_validate(row.request) != request:
        raise UserError("idempotency-mismatch", "This Idempotency-Key was used with other parameters: take a new one.")
    return UUID(str(row.id))


def received(import_id: UUID, request: ImportRequest, size_bytes: int, at: datetime, site_id: str) -> Event:
    """The public event of an import's arrival; the same words however often it is told."""
    return Event.of_import(
        "received",
        ImportEvent(import_id=import_id, size_bytes=size_bytes),
        time=at,
        project=request.destination.project or UNASSIGNED,
        site_id=site_id,
    )


def told(
    import_id: UUID, request: ImportRequest, size_bytes: int, at: datetime, site_id: str
) -> list[ImportReceived | Event]:
    """All that is to be published of an accepted import."""
    return [ImportReceived(import_id=import_id), received(import_id, request, size_bytes, at, site_id)]


async def mark_told(engine: AsyncEngine, import_id: UUID) -> None:
    """The broker has confirmed what `told` made. Safe to repeat."""
    async with transaction(engine) as connection:
        await connection.execute(sa.update(imports).where(imports.c.id == import_id).values(told_at=sa.func.now()))


async def ended(engine: AsyncEngine, import_ids: list[UUID]) -> list[UUID]:
    """Those of `import_ids` that have an outcome."""
    query = sa.select(imports.c.id).where(imports.c.id.in_(import_ids), imports.c.outcome.is_not(None))
    async with transaction(engine) as connection:
        return [row.id for row in await connection.execute(query)]


async def progress(engine: AsyncEngine, import_id: UUID) -> Progress:
    """How an import that exists stands."""
    unrouted = (
        sa.select(import_batches.c.id)
        .where(import_batches.c.import_id == import_id, import_batches.c.routed_at.is_(None))
        .exists()
    )
    columns = imports.c
    query = sa.select(
        columns.outcome, columns.code, columns.detail, sa.and_(columns.listed_at.is_not(None), sa.not_(unrouted))
    ).where(columns.id == import_id)
    async with transaction(engine) as connection:
        row = (await connection.execute(query)).one()
        found = await outcomes(connection, import_id)
    return Progress(row.outcome, row.code, row.detail, bool(row[3]) and bool(found), found)


async def outcomes(connection: AsyncConnection, import_id: UUID) -> tuple[SessionOutcome, ...]:
    """The sessions of an import, in the order of the upload."""
    each, entry = import_sessions.c, sessions.c
    query = (
        sa.select(each.uri, each.outcome, each.code, each.detail, entry.project, entry.timestamp, entry.folder)
        .join_from(import_sessions, sessions, each.session_id == entry.id)
        .where(each.import_id == import_id)
        .order_by(each.ordinal, each.session_id)
    )
    return tuple(
        SessionOutcome(r.uri, r.outcome, r.code, r.detail, prearchive_uri(r.project, r.timestamp, r.folder))
        for r in await connection.execute(query)
    )

"""The engine, migrations, and the SQL that two services share. The tables are in `schema.py`."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from libs.common.errors import Retryable, ScandockError
from libs.common.facts import FILTERED, Encoding, Member
from libs.common.messages import ImportFinished, ImportStaged
from libs.common.requests import ImportRequest
from libs.common.schema import (
    cache_files,
    import_batches,
    import_members,
    import_sessions,
    import_sources,
    imports,
    session_changes,
    sessions,
)

NO_FILES = "Upload did not include parsable files for session generation."
"""XNAT's words for an upload without any DICOM (import semantics §1.7)."""


def dialect_url(database_url: str) -> str:
    """`postgresql://…` as SQLAlchemy names it for psycopg 3."""
    return database_url.replace("postgresql://", "postgresql+psycopg://", 1)


def open_engine(database_url: str, connections: int = 5) -> AsyncEngine:
    """The engine of a service. A connection is tested before use, so a restarted server is noticed."""
    return create_async_engine(
        dialect_url(database_url),
        pool_size=connections,
        max_overflow=connections,
        pool_pre_ping=True,
        pool_timeout=30,
        hide_parameters=True,  # they hold PHI, and errors are logged
        connect_args={"connect_timeout": 5, "application_name": "scandock"},
    )


@contextlib.asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction. Raises `Retryable` where the server is away, full or had to break a deadlock."""
    try:
        async with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError) as error:
        raise Retryable("database-unavailable", type(error.orig).__name__) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Retryable("database-unavailable", type(error.orig).__name__) from error
        raise
    except sa.exc.TimeoutError as error:
        raise Retryable("database-busy", "no connection is free") from error


async def copy_rows(
    connection: AsyncConnection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """COPY rows into `table`: one statement for any number. `table` and `columns` are ours, never a client's."""
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None  # noqa: S101 - a live connection has one
    async with driver.cursor() as cursor, cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin") as copy:
        for row in rows:
            await copy.write_row(row)


def upgrade(database_url: str) -> None:
    """Bring the tables to the newest migration. Safe to repeat, also at the same time."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = dialect_url(database_url)
    command.upgrade(config, "head")


async def load_request(connection: AsyncConnection, import_id: UUID) -> ImportRequest:
    """What the sender asked. Raises `Retryable` if the row is not there (yet)."""
    row = (await connection.execute(sa.select(imports.c.request).where(imports.c.id == import_id))).one_or_none()
    if row is None:
        raise Retryable("import-unknown", f"import {import_id} has no row")
    return ImportRequest.model_validate(row.request)


async def hold_import(connection: AsyncConnection, import_id: UUID) -> bool:
    """Keep an import from being ended by others until the transaction is over; False if it has ended already.

    Call it before anything else is locked: who cancels an import holds it first, too.
    """
    query = sa.select(imports.c.id).where(imports.c.id == import_id, imports.c.outcome.is_(None))
    return await connection.scalar(query.with_for_update(read=True)) is not None


async def load_batch(connection: AsyncConnection, batch_id: UUID) -> list[Member]:
    """The members of a batch that nobody has skipped, in order."""
    columns = import_members.c
    rows = await connection.execute(
        sa.select(
            columns.ordinal,
            columns.path,
            columns.object_key,
            columns.byte_offset,
            columns.span_bytes,
            columns.size_bytes,
            columns.encoding,
            columns.crc32,
        )
        .where(columns.batch_id == batch_id, columns.verdict.is_(None))
        .order_by(columns.ordinal)
    )
    return [
        Member(
            r.ordinal, r.path, r.object_key, r.byte_offset, r.span_bytes, r.size_bytes, Encoding(r.encoding), r.crc32
        )
        for r in rows
    ]


async def staged_if_complete(connection: AsyncConnection, import_id: UUID) -> list[ImportStaged]:
    """`import.staged` if every batch is listed and staged, whoever finds it (architecture §5, Completeness).

    Call it last in the transaction that set `listed_at` or a batch's `staged_at`: it locks the import row, so of
    two that finish together the later one sees both.
    """
    row = (
        await connection.execute(
            sa.select(imports.c.listed_at, imports.c.outcome).where(imports.c.id == import_id).with_for_update()
        )
    ).one_or_none()
    if row is None or row.listed_at is None or row.outcome is not None:
        return []
    open_batches = sa.select(sa.func.count()).where(
        import_batches.c.import_id == import_id, import_batches.c.staged_at.is_(None)
    )
    if (await connection.execute(open_batches)).scalar_one():
        return []
    await connection.execute(
        sa.update(imports)
        .where(imports.c.id == import_id, imports.c.staged_at.is_(None))
        .values(staged_at=datetime.now(UTC))
    )
    return [ImportStaged(import_id=import_id)]


async def finished_if_catalogued(connection: AsyncConnection, import_id: UUID) -> list[ImportFinished]:
    """`import.finished` if an import is merged and each of its changes is catalogued; writes the outcome once.

    Completed if any session has landed; else rejected for the reason of its first session, or for having none.
    """
    row = (
        await connection.execute(
            sa.select(imports.c.merged_at, imports.c.outcome).where(imports.c.id == import_id).with_for_update()
        )
    ).one_or_none()
    if row is None or row.merged_at is None:
        return []
    if row.outcome is None:
        if await connection.scalar(sa.select(_pending(import_id).exists())):
            return []
        await _write_outcome(connection, import_id, *await _judge(connection, import_id))
    return [ImportFinished(import_id=import_id)]


def _pending(import_id: UUID) -> sa.Select[UUID | None]:
    """Changes without their catalogs: the import's own, and others' of a session that had all it brought.

    What a client is told, a reader can see: also where an earlier import has brought it a moment before.
    """
    columns, each = session_changes.c, import_sessions.c
    joined = (
        sa.select(sessions.c.merged_into)
        .join_from(import_sessions, sessions, sessions.c.id == each.session_id)
        .where(each.import_id == import_id, each.outcome == "unchanged")
    )
    is_awaited = sa.or_(columns.import_id == import_id, columns.session_id.in_(joined))
    return sa.select(columns.event_id).where(columns.catalogued_at.is_(None), is_awaited)


async def imports_awaiting(connection: AsyncConnection, session_id: str) -> list[UUID]:
    """The merged imports that may have waited for a change of this session which was not their own."""
    each = import_sessions.c
    query = (
        sa.select(imports.c.id)
        .join_from(imports, import_sessions, each.import_id == imports.c.id)
        .join(sessions, sessions.c.id == each.session_id)
        .where(
            imports.c.outcome.is_(None),
            imports.c.merged_at.is_not(None),
            each.outcome == "unchanged",
            sessions.c.merged_into == session_id,
        )
    )
    return [UUID(str(import_id)) for import_id in await connection.scalars(query)]


async def _judge(connection: AsyncConnection, import_id: UUID) -> tuple[str, str, str]:
    rows = (
        await connection.execute(
            sa.select(import_sessions.c.outcome, import_sessions.c.code, import_sessions.c.detail)
            .where(import_sessions.c.import_id == import_id)
            .order_by(import_sessions.c.ordinal)
        )
    ).all()
    if not rows:
        return (
            ("completed", "", "") if await _is_filtered(connection, import_id) else ("rejected", "no-dicom", NO_FILES)
        )
    if any(row.outcome in {"merged", "unchanged"} for row in rows):
        return "completed", "", ""
    return "rejected", rows[0].code, rows[0].detail


async def _is_filtered(connection: AsyncConnection, import_id: UUID) -> bool:
    """Whether a series import filter has left something out: an upload of nothing else is no error (§1.6)."""
    columns = import_members.c
    query = sa.select(columns.ordinal).where(columns.import_id == import_id, columns.reason.startswith(FILTERED))
    return await connection.scalar(query.limit(1)) is not None


async def _write_outcome(connection: AsyncConnection, import_id: UUID, outcome: str, code: str, detail: str) -> None:
    await connection.execute(
        sa.update(imports)
        .where(imports.c.id == import_id, imports.c.outcome.is_(None))
        .values(outcome=outcome, code=code, detail=detail, finished_at=datetime.now(UTC))
    )
    if outcome == "completed":  # what was taken from its sender's cache is consumed (import semantics §1.3)
        taken = sa.select(import_sources.c.object_key).where(import_sources.c.import_id == import_id)
        await connection.execute(sa.delete(cache_files).where(cache_files.c.object_key.in_(taken)))


async def end_import(engine: AsyncEngine, import_id: UUID, outcome: str, error: ScandockError) -> list[ImportFinished]:
    """End an import as `rejected` or `failed`, unless it has its outcome already. Safe to repeat."""
    async with transaction(engine) as connection:
        await _write_outcome(connection, import_id, outcome, error.code, error.detail)
    return [ImportFinished(import_id=import_id)]

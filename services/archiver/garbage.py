"""The garbage collector, which alone deletes objects: those that no row names any more (architecture §3).

A key is never used again, so what nobody names now nobody will name. What people put into the bucket by hand is never
touched: only keys that an import has made are looked at. Any replica may collect; rows in hand elsewhere are skipped.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import names, telemetry
from libs.common.bucket import abort_unfinished
from libs.common.database import transaction
from libs.common.errors import Retryable
from libs.common.reports import report_key
from libs.common.resource_rows import catalog_paths
from libs.common.schema import (
    cache_files,
    files,
    import_sessions,
    import_sources,
    imports,
    replaced_files,
    sessions,
)
from libs.common.storage import ObjectStore, S3Settings, Stored, s3_store
from services.archiver.layout import import_folder
from services.archiver.lifecycle import LONG_AGO

COLLECT_SECONDS = 3600
PAGE = 1000
CACHE = "cache/"
UPLOADS = "uploads/"
LEFT = timedelta(days=1)
"""An object is stored before the row that names it is written: one without a row is left alone for so long."""

UNFINISHED = timedelta(days=1)
"""No upload takes so long; what began before was left by a process that is gone."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what nobody needs any more is left: an ended import's upload, what can be restored, an import's rows."""

    uploads: timedelta
    grace: timedelta
    imports: timedelta


async def collect_garbage(engine: AsyncEngine, s3: S3Settings, retention: Retention) -> None:
    """Collect every `COLLECT_SECONDS`, until cancelled; also parts of multipart uploads that nobody will complete."""
    store = s3_store(s3)
    while True:
        try:
            removed = await collect(engine, store, retention)
            aborted = await abort_unfinished(s3, UNFINISHED)
            telemetry.log().info("garbage collected", objects=removed, multipart_uploads=aborted)
        except Retryable as error:
            telemetry.log().warning("garbage left", code=error.code)
        await asyncio.sleep(COLLECT_SECONDS)


async def collect(engine: AsyncEngine, store: ObjectStore, retention: Retention) -> int:
    """Collect once all there is; the number of objects removed. Safe to repeat, and to stop anywhere."""
    removed = 0
    for step in (_sweep_import, _drop_replaced, _drop_deleted):
        while True:
            async with transaction(engine) as connection:
                count = await step(connection, store, retention)
            if count is None:
                break
            removed += count
    removed += await _drop_orphans(engine, store)
    removed += await _drop_cached(engine, store)
    async with transaction(engine) as connection:
        await _forget_imports(connection, store, retention)
    return removed


async def _sweep_import(connection: AsyncConnection, store: ObjectStore, retention: Retention) -> int | None:
    """Remove one ended import's upload, and what it stored but nobody took; None if there is none left."""
    columns = imports.c
    import_id = await connection.scalar(
        sa.select(columns.id)
        .where(columns.swept_at.is_(None), columns.finished_at < _before(retention.uploads))
        .order_by(columns.finished_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if import_id is None:
        return None
    removed = await _remove_all(store, f"uploads/{import_id}/", keep=report_key(import_id))
    for prefix in await _prefixes(connection, import_id):
        async for page in store.list(import_folder(prefix, import_id)):
            removed += await _remove_unnamed(connection, store, [stored.key for stored in page])
    await _close_entries(connection, import_id)
    await connection.execute(sa.update(imports).where(columns.id == import_id).values(swept_at=datetime.now(UTC)))
    return removed


async def _prefixes(connection: AsyncConnection, import_id: UUID) -> Sequence[str]:
    query = (
        sa.select(sessions.c.prefix)
        .join_from(import_sessions, sessions, import_sessions.c.session_id == sessions.c.id)
        .where(import_sessions.c.import_id == import_id)
    )
    return (await connection.scalars(query)).all()


async def _close_entries(connection: AsyncConnection, import_id: UUID) -> None:
    """What an import that failed had opened can't be finished without its upload."""
    columns = sessions.c
    await connection.execute(
        sa.update(sessions)
        .where(columns.opened_by == import_id, columns.place == "opening")
        .values(place="deleted", deleted_at=datetime.now(UTC))
    )


async def _drop_replaced(connection: AsyncConnection, store: ObjectStore, retention: Retention) -> int | None:
    """Remove what changes have replaced so long ago that it can't be restored any more."""
    columns = replaced_files.c
    rows = (
        await connection.execute(
            sa.select(columns.id, columns.object_key, columns.file["import_id"].astext.label("import_id"))
            .where(columns.replaced_at < _before(retention.grace))
            .order_by(columns.id)
            .limit(PAGE)
            .with_for_update(skip_locked=True)
        )
    ).all()
    if not rows:
        return None
    await connection.execute(sa.delete(replaced_files).where(columns.id.in_([row.id for row in rows])))
    return await _remove_unnamed(connection, store, [row.object_key for row in rows if row.import_id])


async def _drop_deleted(connection: AsyncConnection, store: ObjectStore, retention: Retention) -> int | None:
    """Remove one session that was deleted so long ago: its rows, its documents, and the objects that it alone has."""
    columns = sessions.c
    row = (
        await connection.execute(
            sa.select(columns.id, columns.prefix, columns.deleted_at)
            .where(columns.place == "deleted", columns.deleted_at < _before(retention.grace))
            .order_by(columns.deleted_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
    ).one_or_none()
    if row is None:
        return None
    removed = await _drop_session(connection, store, row.id, row.prefix)
    if row.deleted_at == LONG_AGO:
        removed += await _drop_uploads_of(connection, store, row.id)
    return removed


async def _drop_uploads_of(connection: AsyncConnection, store: ObjectStore, session_id: str) -> int:
    """Remove the ended imports that brought a purged session and have none that is left: uploads, reports and rows."""
    columns, other = import_sessions.c, import_sessions.alias("other")
    left = sa.select(sessions.c.id).join(other, other.c.session_id == sessions.c.id)
    query = (
        sa.select(columns.import_id)
        .join_from(import_sessions, imports)
        .where(
            columns.session_id == session_id,
            imports.c.outcome.is_not(None),
            sa.not_(left.where(other.c.import_id == columns.import_id).exists()),
        )
    )
    removed = 0
    for import_id in list(await connection.scalars(query)):
        removed += await _remove_all(store, f"uploads/{import_id}/")
        await connection.execute(sa.delete(imports).where(imports.c.id == import_id))
    return removed


async def _drop_session(connection: AsyncConnection, store: ObjectStore, session_id: str, prefix: str) -> int:
    columns = files.c
    imported = [columns.session_id == session_id, columns.import_id.is_not(None)]
    keys = list(await connection.scalars(sa.select(columns.object_key).where(*imported)))
    by_import = replaced_files.c.file["import_id"].astext.is_not(None)
    replaced = sa.select(replaced_files.c.object_key).where(replaced_files.c.session_id == session_id, by_import)
    keys += await connection.scalars(replaced)
    documents = [
        names.session_xml_key(prefix),
        *(prefix + path for path in await catalog_paths(connection, session_id)),
    ]
    await connection.execute(sa.delete(files).where(columns.session_id == session_id))
    await connection.execute(sa.delete(sessions).where(sessions.c.id == session_id))
    removed = 0
    for start in range(0, len(keys), PAGE):
        removed += await _remove_unnamed(connection, store, keys[start : start + PAGE])
    await store.delete(documents)
    return removed


async def _drop_orphans(engine: AsyncEngine, store: ObjectStore) -> int:
    """Remove uploads without an import: their gateway stopped before it could answer, so they were never accepted."""
    removed = 0
    async for page in store.list(UPLOADS):
        old = {one.key: owner for one in page if _is_left(one) and (owner := _owner(one.key)) is not None}
        if not old:
            continue
        async with transaction(engine) as connection:
            known = set(await connection.scalars(sa.select(imports.c.id).where(imports.c.id.in_(set(old.values())))))
        removed += await _remove(store, [key for key, owner in old.items() if owner not in known])
    return removed


def _owner(key: str) -> UUID | None:
    try:
        return UUID(key.removeprefix(UPLOADS).split("/", 1)[0])
    except ValueError:
        return None  # not a key of ours


def _is_left(stored: Stored) -> bool:
    return stored.modified_at is not None and stored.modified_at < _before(LEFT)


async def _drop_cached(engine: AsyncEngine, store: ObjectStore) -> int:
    """Remove objects of the user cache that no row of the cache has, nor an import that still runs."""
    removed = 0
    async for page in store.list(CACHE):
        old = [one.key for one in page if _is_left(one)]
        if not old:
            continue
        async with transaction(engine) as connection:
            cached = sa.select(cache_files.c.object_key).where(cache_files.c.object_key.in_(old))
            pinned = (
                sa.select(import_sources.c.object_key)
                .join_from(import_sources, imports)
                .where(import_sources.c.object_key.in_(old), imports.c.swept_at.is_(None))
            )
            named = set(await connection.scalars(sa.union(cached, pinned)))
        removed += await _remove(store, [key for key in old if key not in named])
    return removed


async def _forget_imports(connection: AsyncConnection, store: ObjectStore, retention: Retention) -> None:
    """Remove the rows and reports of imports that ended so long ago; the files that they brought stay."""
    columns = imports.c
    ids = list(
        await connection.scalars(
            sa.select(columns.id)
            .where(columns.swept_at.is_not(None), columns.finished_at < _before(retention.imports))
            .order_by(columns.finished_at)
            .limit(PAGE)
            .with_for_update(skip_locked=True)
        )
    )
    await store.delete([report_key(import_id) for import_id in ids])
    await connection.execute(sa.delete(imports).where(columns.id.in_(ids)))


async def _remove_unnamed(connection: AsyncConnection, store: ObjectStore, keys: Sequence[str]) -> int:
    """Remove those `keys` that no row has: neither a session's file nor one that can be restored."""
    wanted = sa.any_(sa.literal(list(keys), sa.ARRAY(sa.Text)))
    taken = sa.select(files.c.object_key).where(files.c.object_key == wanted)
    kept = sa.select(replaced_files.c.object_key).where(replaced_files.c.object_key == wanted)
    named = set(await connection.scalars(sa.union(taken, kept)))
    return await _remove(store, [key for key in keys if key not in named])


async def _remove_all(store: ObjectStore, prefix: str, keep: str = "") -> int:
    removed = 0
    async for page in store.list(prefix):
        removed += await _remove(store, [stored.key for stored in page if stored.key != keep])
    return removed


async def _remove(store: ObjectStore, keys: Iterable[str]) -> int:
    doomed = list(keys)
    await store.delete(doomed)
    return len(doomed)


def _before(age: timedelta) -> datetime:
    return datetime.now(UTC) - age

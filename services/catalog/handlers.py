"""What the catalog service does with a message: make a change readable, then tell of it; conclude an import."""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.command_rows import finish_if_catalogued
from libs.common.database import finished_if_catalogued, imports_awaiting, transaction
from libs.common.errors import ScandockError
from libs.common.messages import CommandReceived, Event, ImportFinished, Output, SessionChanged
from libs.common.outbox import Site
from libs.common.reports import report_pages
from libs.common.storage import ObjectStore
from services.catalog.catalog_xml import render_catalog
from services.catalog.documents import each, replace_document, write_report
from services.catalog.events import Change, import_event, session_events
from services.catalog.imports import load_ended_import
from services.catalog.session_xml import render_session
from services.catalog.sessions import load_catalog, load_change, load_plan, load_session, mark_catalogued


async def catalogue_session(
    message: SessionChanged, store: ObjectStore, engine: AsyncEngine, site: Site
) -> list[Event | ImportFinished | CommandReceived]:
    """Write the catalogs of a change's resources and the session's XML; then tell of the change.

    Safe to repeat: the documents are those of the newest rows, and a change that is catalogued already is told again
    word for word.
    """
    change = await load_change(engine, message.session_id, message.revision)
    catalogs = [] if change.is_catalogued else await _write_documents(change, store, engine, site.bucket)
    async with transaction(engine) as connection:
        change = await mark_catalogued(connection, change, catalogs)
        finished = await _finished(connection, change)
    return [*session_events(change, site.site_id), *finished]


async def _finished(connection: AsyncConnection, change: Change) -> Sequence[ImportFinished | CommandReceived]:
    """The end of what made the change, if this was its last, and of imports that waited to have it readable."""
    ended: list[ImportFinished | CommandReceived] = []
    if change.command_id is not None:
        ended += await finish_if_catalogued(connection, change.command_id)
    awaiting = set(await imports_awaiting(connection, change.session_id))
    for import_id in sorted(awaiting | ({change.import_id} if change.import_id else set())):
        ended += await finished_if_catalogued(connection, import_id)
    return ended


async def _write_documents(change: Change, store: ObjectStore, engine: AsyncEngine, bucket: str) -> list[str]:
    """All documents of a change, in the store; the keys of its catalogs."""
    plan = await load_plan(engine, change)
    session_id = change.session_id
    await each(
        [
            partial(
                replace_document,
                store,
                key,
                partial(load_catalog, engine, session_id, row, key, bucket),
                render_catalog,
            )
            for row, key in plan.catalogs.items()
        ]
    )
    read = partial(load_session, engine, session_id, bucket)
    await replace_document(store, plan.session_key, read, render_session)
    return list(plan.catalogs.values())


async def conclude_import(message: ImportFinished, store: ObjectStore, engine: AsyncEngine, site: Site) -> list[Event]:
    """Write the report of an import that has its outcome; then tell of the outcome. Safe to repeat."""
    ended = await load_ended_import(engine, message.import_id)
    async with aclosing(report_pages(engine, message.import_id)) as pages:
        await write_report(store, message.import_id, pages)
    return [import_event(ended, site.site_id)]


async def leave_ended(work_id: UUID, outcome: str, error: ScandockError) -> Sequence[Output]:
    """What ends an import whose conclusion fails: nothing, it has its outcome. Telling it again would never end."""
    return []

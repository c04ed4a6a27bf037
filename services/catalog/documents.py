"""The objects that this service writes: catalogs and session XML, which are replaced, and reports (architecture §3)."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from libs.common.errors import Retryable
from libs.common.reports import MemberLine, render_pages, report_key
from libs.common.storage import Changed, Missing, ObjectStore

TRIES = 5
"""How often a document is read and written again because another writer was first."""
AT_ONCE = 4
"""Documents in hand at a time, for one message: each may hold the rows of a large series."""

Facts = TypeVar("Facts")
Result = TypeVar("Result")


async def replace_document(
    store: ObjectStore, key: str, read: Callable[[], Awaitable[Facts | None]], render: Callable[[Facts], bytes]
) -> None:
    """Write what `read` finds now, as rendered; nothing if it finds nothing any more.

    The object's version is asked for before the rows are read. So if it is still that version when the bytes are
    stored, no writer with newer rows was in between; if not, the rows are read again. The newest revision wins.

    Raises:
        Retryable: other writers were first each time.
    """
    for _ in range(TRIES):
        etag = await _etag(store, key)
        facts = await read()
        if facts is None:
            return
        body = await asyncio.to_thread(render, facts)
        try:
            await store.replace(key, body, etag)
        except Changed:
            continue
        return
    raise Retryable("document-contended", "other writers of the same catalog were first each time")


async def _etag(store: ObjectStore, key: str) -> str | None:
    try:
        return (await store.head(key)).etag
    except Missing:
        return None


async def each(work: Sequence[Callable[[], Awaitable[Result]]]) -> list[Result]:
    """Do all of `work`, `AT_ONCE` at a time, to its end; then raise the first failure if there was any."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(do: Callable[[], Awaitable[Result]]) -> Result:
        async with room:
            return await do()

    results = await asyncio.gather(*(one(do) for do in work), return_exceptions=True)
    done: list[Result] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done


async def write_report(store: ObjectStore, import_id: UUID, pages: AsyncIterable[Sequence[MemberLine]]) -> None:
    """Write the report of an import, page by page. Safe to repeat."""
    await store.put_stream(report_key(import_id), render_pages(pages))

"""Documents that are replaced: the newest rows win, whoever writes last."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import UUID

import pytest

from libs.common.errors import Retryable
from libs.common.reports import MemberLine
from libs.common.storage import Missing, Store, memory_store
from services.catalog.documents import AT_ONCE, TRIES, each, replace_document, write_report

KEY = "sessions/P/E/session.xml"


class Rows:
    """A revision that others raise, and a document written from it by them while we are reading."""

    def __init__(self, store: Store, intruders: int) -> None:
        self.store, self.intruders, self.revision, self.reads = store, intruders, 1, 0

    async def read(self) -> int:
        self.reads += 1
        seen = self.revision
        if self.intruders:
            self.intruders -= 1
            self.revision += 1
            await self.store.put(KEY, render(self.revision))
        return seen


def render(revision: int) -> bytes:
    return f"revision {revision}".encode()


async def body(store: Store) -> bytes:
    return await store.read(KEY, 0, 100)


async def test_a_new_document_is_written() -> None:
    store = memory_store()
    await replace_document(store, KEY, Rows(store, 0).read, render)
    assert await body(store) == b"revision 1"


async def test_writing_twice_leaves_the_same_bytes() -> None:
    store = memory_store()
    rows = Rows(store, 0)
    await replace_document(store, KEY, rows.read, render)
    await replace_document(store, KEY, rows.read, render)
    assert await body(store) == b"revision 1"


@pytest.mark.parametrize("there_before", [True, False])
async def test_a_late_writer_gives_way_to_newer_rows(there_before: bool) -> None:
    store = memory_store()
    if there_before:
        await store.put(KEY, render(0))
    rows = Rows(store, 2)
    await replace_document(store, KEY, rows.read, render)
    assert await body(store) == b"revision 3"
    assert rows.reads == 3


async def test_two_writers_at_once_leave_the_newest() -> None:
    store = memory_store()
    rows = Rows(store, 0)

    async def change_and_write() -> None:
        rows.revision += 1
        await replace_document(store, KEY, rows.read, render)

    await asyncio.gather(*(change_and_write() for _ in range(4)))
    assert await body(store) == b"revision 5"


async def test_a_document_that_is_always_contended_is_tried_later() -> None:
    store = memory_store()
    with pytest.raises(Retryable) as raised:
        await replace_document(store, KEY, Rows(store, TRIES).read, render)
    assert raised.value.code == "document-contended"


async def test_what_is_gone_is_not_written() -> None:
    store = memory_store()

    async def nothing() -> int | None:
        return None

    await replace_document(store, KEY, nothing, render)
    with pytest.raises(Missing):
        await store.head(KEY)


async def test_work_is_done_in_order_of_results_a_few_at_a_time() -> None:
    running, most = 0, 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    assert await each([partial(work, n) for n in range(20)]) == list(range(20))
    assert most == AT_ONCE


async def test_all_work_is_at_its_end_when_a_failure_is_raised() -> None:
    done = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        if number == 0:
            raise Retryable("store-unavailable", "away")
        done.append(number)

    with pytest.raises(Retryable):
        await each([partial(work, n) for n in range(6)])
    assert sorted(done) == [1, 2, 3, 4, 5]


async def test_a_report_of_several_pages_is_one_object() -> None:
    store = memory_store()

    async def pages() -> AsyncIterator[Sequence[MemberLine]]:
        for ordinal in range(3):
            yield [MemberLine(ordinal, "a", "skipped", "junk", "", "", "", 1, "")]

    await write_report(store, UUID(int=1), pages())
    report = await store.read(f"uploads/{UUID(int=1)}/report.ndjson", 0, 10_000)
    assert report.count(b"\n") == 3

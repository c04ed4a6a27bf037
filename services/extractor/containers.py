"""Listing a zip or a tar that lies in an object, by few ranges whatever its size."""

import asyncio

from libs.common.errors import UserError
from libs.common.storage import ObjectStore
from services.extractor.limits import Budget
from services.extractor.members import Found
from services.extractor.tars import TarWalk
from services.extractor.zips import TAIL_BYTES, Directory, find_directory, has_end, list_entries

WINDOW_BYTES = 4 << 20
FIRST_WINDOW_BYTES = 64 << 10
SKIP_BYTES = 1 << 20
"""A body that reaches further behind a window than this is not read through: the next window begins behind it."""


async def list_zip(store: ObjectStore, archive: Found, folder: str, budget: Budget) -> list[Found]:
    """The files of the zip that lies plain at `archive`. Raises `UserError` as `list_entries`."""
    tail = await _read_tail(store, archive)
    where = find_directory(tail, archive.size_bytes)
    directory = await _read_directory(store, archive, where, tail)
    return await asyncio.to_thread(list_entries, directory, where, archive, folder, budget)


async def ends_as_zip(store: ObjectStore, archive: Found) -> bool:
    """Whether the bytes at `archive` end as a zip does, whatever they begin with."""
    return has_end(await _read_tail(store, archive))


async def _read_tail(store: ObjectStore, archive: Found) -> bytes:
    length = min(TAIL_BYTES, archive.size_bytes)
    return await _read(store, archive, archive.size_bytes - length, length)


async def _read_directory(store: ObjectStore, archive: Found, where: Directory, tail: bytes) -> bytes:
    begin = where.start - (archive.size_bytes - len(tail))
    if begin >= 0:
        return tail[begin : begin + where.size_bytes]
    return await _read(store, archive, where.start, where.size_bytes)


async def list_tar(store: ObjectStore, archive: Found, folder: str, budget: Budget) -> list[Found]:
    """The files of the tar that lies plain at `archive`.

    Raises:
        UserError: a member is unsafe, a limit is passed, or the tar is damaged or breaks off.
    """
    walk = TarWalk(archive, folder, budget)
    window = FIRST_WINDOW_BYTES
    while not walk.ended and walk.wanted < archive.size_bytes:
        start = walk.wanted
        piece = await _read(store, archive, start, min(window, archive.size_bytes - start))
        await asyncio.to_thread(walk.feed, start, memoryview(piece))
        is_near = walk.wanted - start - len(piece) < SKIP_BYTES
        window = min(2 * window, WINDOW_BYTES) if is_near else FIRST_WINDOW_BYTES
    walk.close(archive.size_bytes)
    return walk.found


async def _read(store: ObjectStore, archive: Found, start: int, length: int) -> bytes:
    body = await store.read(archive.object_key, archive.offset + start, length)
    if len(body) < length:
        raise UserError("truncated-archive", "the upload ends before the archive does")
    return body

"""Stores a batch's members once each: few large reads, decoding and digests in threads, many puts in flight."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from libs.common.errors import Retryable
from libs.common.facts import Member
from libs.common.spans import READ_BYTES, Damaged, Read, decode, decode_pieces, plan
from libs.common.storage import Missing, ObjectStore
from services.archiver.batches import Known, KnownObject, Routed, Staged
from services.archiver.layout import folder_of

LARGE_BYTES = READ_BYTES
"""Members that are longer, packed or unpacked, are streamed: a few of them in memory at once would be too many."""
PORTION_BYTES = READ_BYTES
"""What is unpacked at once: small spans can hold much."""
READS_IN_FLIGHT = 3
PUTS_PER_READ = 8


@dataclass(frozen=True, slots=True)
class _Decoded:
    routed: Routed
    body: bytes
    md5: str
    sha256: str


@dataclass
class _Digests:
    md5: "hashlib._Hash" = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def update(self, body: bytes) -> None:
        self.md5.update(body)
        self.sha256.update(body)


class Stager:
    """Stages batches of one process; the bound on reads, and so on memory, holds for all of them together."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._reads = asyncio.Semaphore(READS_IN_FLIGHT)

    async def stage(self, routed: Sequence[Routed], known: Known) -> list[Staged]:
        """Store what is not `known`; one result a member, in any order. Safe to repeat: the keys are the members'.

        Raises:
            Retryable: the store is away, or the upload's object is not there.
        """
        by_ordinal = {one.member.ordinal: one for one in routed}
        present = await self._present(known)
        is_large = {o: max(r.member.size_bytes, r.member.span_bytes) > LARGE_BYTES for o, r in by_ordinal.items()}
        small = plan(one.member for one in routed if not is_large[one.member.ordinal])
        large = [one for one in routed if is_large[one.member.ordinal]]
        staged: list[Staged] = []
        try:
            await _together(
                *(self._stage_read(read, by_ordinal, present, staged) for read in small),
                *(self._stage_large(one, present, staged) for one in large),
            )
        except Missing as missing:
            raise Retryable("source-missing", "the upload's object is not in the store") from missing
        return staged

    async def _present(self, known: Known) -> Known:
        """Of the known objects those that the store has, with their size: one listing a folder, not a look at each."""
        sizes: dict[str, int] = {}
        for folder in sorted({folder_of(one.key) for one in known.values()}):
            async for page in self._store.list(folder):
                sizes |= {stored.key: stored.size_bytes for stored in page}
        return {instance: one for instance, one in known.items() if sizes.get(one.key) == one.size_bytes}

    async def _stage_read(
        self, read: Read, by_ordinal: Mapping[int, Routed], known: Known, staged: list[Staged]
    ) -> None:
        async with self._reads:
            body = memoryview(await self._store.read(read.object_key, read.start, read.length))
            for portion in _portions(read.members):
                members = [by_ordinal[member.ordinal] for member in portion]
                decoded, damaged = await asyncio.to_thread(_decode, read, members, body)
                staged.extend(damaged)
                waiting = iter(decoded)
                await _together(*(self._put_all(waiting, known, staged) for _ in range(PUTS_PER_READ)))

    async def _put_all(self, waiting: Iterator[_Decoded], known: Known, staged: list[Staged]) -> None:
        for one in waiting:
            there = _there(one.routed, one.sha256, known)
            if there is None:
                await self._store.put(one.routed.key, one.body)
            key = one.routed.key if there is None else there.key
            staged.append(Staged(one.routed.member.ordinal, key, one.md5, one.sha256))

    async def _stage_large(self, routed: Routed, known: Known, staged: list[Staged]) -> None:
        """Stream a member; what is known is found out by reading it once, and stored only if it is not."""
        async with self._reads:
            ordinal = routed.member.ordinal
            digests = _Digests()
            try:
                if any(uid == routed.sop_instance_uid for uid, _ in known):
                    async for piece in self._pieces(routed.member):
                        await asyncio.to_thread(digests.update, piece)
                    there = _there(routed, digests.sha256.hexdigest(), known)
                    if there is not None:
                        staged.append(_result(ordinal, there.key, digests))
                        return
                    digests = _Digests()
                await self._store.put_stream(routed.key, self._digested(routed.member, digests))
                staged.append(_result(ordinal, routed.key, digests))
            except Damaged as damage:
                staged.append(_damaged(ordinal, damage))

    async def _digested(self, member: Member, digests: _Digests) -> AsyncIterator[bytes]:
        async for piece in self._pieces(member):
            await asyncio.to_thread(digests.update, piece)
            yield piece

    async def _pieces(self, member: Member) -> AsyncIterator[bytes]:
        """The member's decoded bytes. The decoder pulls, so it runs in a thread and asks the loop for each piece."""
        loop = asyncio.get_running_loop()
        stream = self._store.stream(member.object_key, member.offset, member.span_bytes)

        def pull() -> Iterator[bytes]:
            while (piece := asyncio.run_coroutine_threadsafe(_next(stream), loop).result()) is not None:
                yield piece

        decoded = decode_pieces(member, pull())
        while (piece := await asyncio.to_thread(next, decoded, None)) is not None:
            yield piece


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)


def _portions(members: Sequence[Member]) -> Iterator[list[Member]]:
    portion: list[Member] = []
    size = 0
    for member in members:
        if portion and size + member.size_bytes > PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(member)
        size += member.size_bytes
    if portion:
        yield portion


def _decode(read: Read, portion: Sequence[Routed], body: memoryview) -> tuple[list[_Decoded], list[Staged]]:
    decoded: list[_Decoded] = []
    damaged: list[Staged] = []
    for routed in portion:
        try:
            content = bytes(decode(routed.member, read.span(routed.member, body)))
        except Damaged as damage:
            damaged.append(_damaged(routed.member.ordinal, damage))
            continue
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        decoded.append(_Decoded(routed, content, md5, hashlib.sha256(content).hexdigest()))
    return decoded, damaged


def _there(routed: Routed, sha256: str, known: Known) -> KnownObject | None:
    there = known.get((routed.sop_instance_uid, sha256))
    return there if there is not None and there.size_bytes == routed.member.size_bytes else None


def _result(ordinal: int, key: str, digests: _Digests) -> Staged:
    return Staged(ordinal, key, digests.md5.hexdigest(), digests.sha256.hexdigest())


def _damaged(ordinal: int, damage: Damaged) -> Staged:
    return Staged(ordinal, damage=f"damaged: {damage}")


async def _together(*works: Coroutine[object, object, None]) -> None:
    """Do all at the same time; the first failure stops the others and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures

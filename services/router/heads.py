"""Reading the headers of members: few large ranges, parsed off the event loop, more bytes only where needed."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from libs.common import spans
from libs.common.errors import Retryable
from libs.common.facts import Member
from libs.common.storage import Missing, ObjectStore
from services.router.ecat import EcatHeader
from services.router.headers import TABLE, Header, Incomplete, NotDicom, Wanted, read_header

HEAD_BYTES = 16 << 10
"""The first guess: headers of classic images end within 7 KiB, those with Siemens' CSA elements at 60 to 130 KiB."""
GROWTH = 8
LONGEST_BYTES = 16 << 20
"""Whose header is longer than this is taken for broken."""
READS_AT_ONCE = 4
"""Times `spans.READ_BYTES`, and two messages at a time: what is in memory."""

Outcome = Header | EcatHeader | NotDicom


async def read_headers(store: ObjectStore, members: Iterable[Member], wanted: Wanted = TABLE) -> Mapping[int, Outcome]:
    """Each member's header, or why it has none, by its ordinal. Raises `Retryable` where the store is away."""
    found: dict[int, Outcome] = {}
    missing = list(members)
    head_bytes = HEAD_BYTES
    turns = asyncio.Semaphore(READS_AT_ONCE)
    while missing:
        reads = spans.plan(missing, head_bytes)
        parse = partial(_parse, head_bytes=head_bytes, wanted=wanted)
        for answers in await asyncio.gather(*(_read(store, read, parse, turns) for read in reads)):
            found |= answers
        missing = [member for member in missing if member.ordinal not in found]
        head_bytes = min(head_bytes * GROWTH, LONGEST_BYTES)
    return found


_Parse = Callable[[spans.Read, memoryview], dict[int, Outcome]]


async def _read(store: ObjectStore, read: spans.Read, parse: _Parse, turns: asyncio.Semaphore) -> dict[int, Outcome]:
    async with turns:
        try:
            body = await store.read(read.object_key, read.start, read.length)
        except Missing as error:
            raise Retryable("upload-missing", "an uploaded object cannot be found") from error
        return await asyncio.to_thread(parse, read, memoryview(body))


def _parse(read: spans.Read, body: memoryview, head_bytes: int, wanted: Wanted) -> dict[int, Outcome]:
    """The headers that end within `body`."""
    outcomes = ((member, _look(member, read.span(member, body), head_bytes, wanted)) for member in read.members)
    return {member.ordinal: outcome for member, outcome in outcomes if outcome is not None}


def _look(member: Member, span: memoryview, limit: int, wanted: Wanted) -> Outcome | None:
    """The member's header out of its span, or the beginning of it; None if more of it has to be read."""
    no_more_to_read = len(span) >= member.span_bytes or limit >= LONGEST_BYTES
    while True:
        try:
            head = spans.decode_head(member, span, limit)
        except spans.Damaged as error:
            return NotDicom(f"damaged: {error}")
        span_is_used_up = len(head) < limit
        is_whole = len(head) >= member.size_bytes or limit >= LONGEST_BYTES or (span_is_used_up and no_more_to_read)
        outcome = read_header(head, is_whole, wanted)
        if not isinstance(outcome, Incomplete):
            return outcome
        if span_is_used_up:
            return None
        limit = min(max(limit * GROWTH, outcome.needed_bytes), LONGEST_BYTES)

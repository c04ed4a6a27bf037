"""Unpacking archives that have no random access into one object, and seeing what they hold while it streams past."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

from libs.common.errors import UserError
from libs.common.facts import Encoding, Member
from libs.common.spans import READ_BYTES, Read, plan
from libs.common.storage import PART_BYTES, ObjectStore
from services.extractor.formats import HEAD_BYTES, Format, recognise, refusal
from services.extractor.limits import Budget
from services.extractor.members import Found, packed_name
from services.extractor.streams import PIECE_BYTES, Compressed, Layer, ZipMember, through
from services.extractor.tars import TarWalk

DAMAGE = frozenset({"truncated-archive", "damaged-archive"})
"""Codes of archives that can't be read: an upload is refused for it, a member of one is skipped."""
OBJECT_BYTES = 10_000 * PART_BYTES
"""S3 takes no more parts."""
_ANY_SIZE = 1 << 62


@dataclass(frozen=True, slots=True)
class Packed:
    """A member that must be unpacked: out of its zip if it is deflated there, then by `compression` if it has one."""

    member: Found
    folder: str
    compression: Format | None
    is_upload: bool
    """Whether it is what was sent, not a member of it: then nothing of it is worth keeping if it is damaged."""

    def layers(self) -> list[Layer]:
        """The outermost first."""
        layers: list[Layer] = []
        if self.member.encoding is not Encoding.PLAIN:
            layers.append(ZipMember(self.member))
        if self.compression is not None:
            layers.append(Compressed(self.compression))
        return layers


@dataclass(frozen=True, slots=True)
class Content:
    """What came out of one: the members of a tar, or bytes of some other `format` that begin with `head`."""

    packed: Packed
    format: Format
    whole: Found
    head: bytes
    members: list[Found]
    damage: UserError | None
    """Why it could not be unpacked to its end."""


async def unpack(store: ObjectStore, key: str, packed: Sequence[Packed], budget: Budget) -> list[Content]:
    """Unpack each of `packed` into the object `key`, one behind the other, and say what came out.

    Safe to repeat: the same bytes get the same place. A damaged one is skipped, with its bytes left in the object.

    Raises:
        UserError: a limit is passed, a tar has an unsafe member, or the upload itself is damaged or no archive;
            nothing is stored then.
    """
    unpacking = _Unpacking(key, packed, budget)
    await store.put_stream(key, _unpacked(store, unpacking))
    return unpacking.contents


async def _unpacked(store: ObjectStore, unpacking: "_Unpacking") -> AsyncIterator[bytes]:
    for read in plan(unpacking.members()):
        if read.length <= READ_BYTES:
            body = await store.read(read.object_key, read.start, read.length)
            async for piece in _in_thread(unpacking.take_all(read, body)):
                yield piece
            continue
        unpacking.begin(read.members[0])
        async for chunk in store.stream(read.object_key, read.start, read.length):
            async for piece in _in_thread(unpacking.take(chunk)):
                yield piece
        unpacking.end()


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, made in a thread, small ones joined: a hand-over costs more than a small piece."""
    while joined := await asyncio.to_thread(_join, pieces):
        yield joined


def _join(pieces: Iterator[bytes]) -> bytes:
    joined: list[bytes] = []
    size_bytes = 0
    for piece in pieces:
        joined.append(piece)
        size_bytes += len(piece)
        if size_bytes >= PIECE_BYTES:
            break
    return joined[0] if len(joined) == 1 else b"".join(joined)


class _Unpacking:
    """The state of one run: which archive is in hand, and what came out of those before it."""

    def __init__(self, key: str, packed: Sequence[Packed], budget: Budget) -> None:
        self.contents: list[Content] = []
        self._key = key
        self._packed = {(p.member.object_key, p.member.offset): p for p in packed}
        self._budget = budget
        self._size_bytes = 0
        self._arrival: _Arrival | None = None

    def members(self) -> list[Found]:
        return [packed.member for packed in self._packed.values()]

    def take_all(self, read: Read, body: bytes) -> Iterator[bytes]:
        view = memoryview(body)
        for member in read.members:
            self.begin(member)
            yield from self.take(bytes(read.span(member, view)))
            self.end()

    def begin(self, member: Member) -> None:
        packed = self._packed[member.object_key, member.offset]
        self._arrival = _Arrival(packed, self._key, self._size_bytes, self._budget)

    def take(self, chunk: bytes) -> Iterator[bytes]:
        if self._arrival is None:
            return
        for piece in self._arrival.take(chunk):
            self._size_bytes += len(piece)
            if self._size_bytes > OBJECT_BYTES:
                detail = f"the upload's streams unpack to more than {OBJECT_BYTES} bytes: send it in parts"
                raise UserError("limit-size", detail)
            yield piece

    def end(self) -> None:
        if self._arrival is not None:
            self.contents.append(self._arrival.end())


class _Arrival:
    """One archive coming out of its layers."""

    def __init__(self, packed: Packed, key: str, start: int, budget: Budget) -> None:
        self._packed = packed
        self._layers = packed.layers()
        self._budget = budget
        self._whole = Found(0, packed.member.path, key, start, 0, 0, Encoding.PLAIN)
        self._size_bytes = 0
        self._head = bytearray()
        self._format: Format | None = None
        self._walk = TarWalk(self._whole, packed.folder, budget)
        self._damage: UserError | None = None

    def take(self, chunk: bytes) -> Iterator[bytes]:
        """Its next bytes; none once it has turned out to be damaged."""
        if self._damage is not None:
            return
        try:
            for piece in through(self._layers, chunk):
                if self._packed.compression is not None:
                    self._budget.spend(len(piece))
                self._look(piece)
                yield piece
        except UserError as error:
            self._note(error)

    def _look(self, piece: bytes) -> None:
        position = self._size_bytes
        self._size_bytes += len(piece)
        if self._format is None:
            self._head += piece
            if len(self._head) >= HEAD_BYTES:
                self._decide()
        elif self._format is Format.TAR:
            self._walk.feed(position, memoryview(piece))

    def _decide(self) -> None:
        """What it is. While the size is not known any length in the head is taken as possible."""
        size_bytes = _ANY_SIZE if len(self._head) >= HEAD_BYTES else self._size_bytes
        self._format = recognise(bytes(self._head[:HEAD_BYTES]), size_bytes)
        if self._format is Format.UNKNOWN and self._packed.is_upload:
            raise refusal(bytes(self._head))
        if self._format is Format.TAR:
            self._walk.feed(0, memoryview(bytes(self._head)))

    def _note(self, error: UserError) -> None:
        if error.code not in DAMAGE or self._packed.is_upload:
            raise error
        self._damage = error

    def end(self) -> Content:
        try:
            if self._damage is None:
                self._finish()
        except UserError as error:
            self._note(error)
        members = self._walk.found if self._format is Format.TAR else []
        return Content(
            self._packed, self._format or Format.UNKNOWN, self._described(), bytes(self._head), members, self._damage
        )

    def _finish(self) -> None:
        for layer in self._layers:
            layer.close()
        if self._format is None:
            self._decide()
        if self._format is Format.TAR:
            self._walk.close(self._size_bytes)

    def _described(self) -> Found:
        path = self._packed.member.path
        if self._packed.compression is not None:
            path = self._packed.folder + packed_name(path)
        return replace(self._whole, path=path, span_bytes=self._size_bytes, size_bytes=self._size_bytes)

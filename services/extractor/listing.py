"""Listing a whole upload: its members, those of the archives among them, and so on, level by level."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from libs.common.errors import UserError
from libs.common.facts import Encoding
from libs.common.spans import Damaged, Read, decode_head, payload_offset, plan
from libs.common.storage import ObjectStore
from services.extractor.containers import ends_as_zip, list_tar, list_zip
from services.extractor.formats import ARCHIVES, HEAD_BYTES, IMAGES, Format, recognise, refusal
from services.extractor.limits import Budget, Limits
from services.extractor.members import ENCRYPTED, Found, may_be_archive, skip_reason, source_paths
from services.extractor.unpack import DAMAGE, Content, Packed, unpack

_ADDRESSABLE = frozenset({Format.ZIP, Format.TAR})
_AGAIN = "Send it again, or make the archive anew."


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was sent; `name` is its sender's for it."""

    key: str
    name: str
    size_bytes: int


class Inner(StrEnum):
    """What becomes of archives among the members of an upload."""

    OPEN = "open"
    """They are folders of the upload."""
    KEEP = "keep"
    """They are files as any other."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Everything that one import was sent, in order; of several sources each is a folder of the upload."""

    import_id: UUID
    sources: tuple[Source, ...]
    inner: Inner = Inner.OPEN

    @property
    def size_bytes(self) -> int:
        """All sources together."""
        return sum(source.size_bytes for source in self.sources)


async def list_upload(store: ObjectStore, upload: Upload, limits: Limits) -> list[Found]:
    """All members of `upload` in order of place. Safe to repeat: everything derives from the upload's bytes.

    Raises:
        UserError: it is empty, no archive, damaged, unsafe, encrypted, or larger inside than `limits`.
    """
    if not upload.size_bytes:
        raise UserError("empty-upload", "the upload has no bytes")
    space = _Space(f"uploads/{upload.import_id}/members", Budget(limits, upload.size_bytes), upload.inner)
    paths = source_paths([source.name for source in upload.sources])
    leaves: list[Found] = []
    for number, (source, path) in enumerate(zip(upload.sources, paths, strict=True), 1):
        root = Found(0, path, source.key, 0, source.size_bytes, source.size_bytes, Encoding.PLAIN)
        listing = _Listing(store, root, space, is_alone=len(paths) == 1)
        try:
            await listing.run()
        except UserError as error:
            if error.code not in DAMAGE:
                raise
            what = "the upload" if len(paths) == 1 else f"file {number} of the upload"
            raise UserError(error.code, f"{what} cannot be read: {error.detail}. {_AGAIN}") from error
        leaves += listing.leaves
    if leaves and all(leaf.skipped == ENCRYPTED for leaf in leaves):
        raise UserError("encrypted-archive", "all members of the upload are encrypted: send them without a password")
    rank = {key: number for number, key in enumerate(space.objects)}
    return sorted(leaves, key=lambda leaf: (rank[leaf.object_key], leaf.offset))


class _Space:
    """What the sources of one upload share: the limits, and the objects that hold their members, in order."""

    def __init__(self, prefix: str, budget: Budget, inner: Inner) -> None:
        self.objects: list[str] = []
        self.budget = budget
        self.inner = inner
        self._prefix = prefix
        self._unpacked = 0

    def next_key(self) -> str:
        """The key of one more object of unpacked members; the same on every run."""
        self._unpacked += 1
        key = self._prefix if self._unpacked == 1 else f"{self._prefix}.{self._unpacked}"
        self.objects.append(key)
        return key


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What may be an archive, and what its content says it is. One that can be read by ranges is `PLAIN`."""

    member: Found
    format: Format
    head: bytes = b""


class _Listing:
    """One run over a source. A level looks at everything that may be an archive equally deep in it."""

    def __init__(self, store: ObjectStore, root: Found, space: _Space, *, is_alone: bool) -> None:
        self.leaves: list[Found] = []
        self._store = store
        self._space = space
        self._budget = space.budget
        self._is_alone = is_alone
        self._next = [root]
        self._is_root = True  # what is looked at is the source itself, not one of its members
        space.objects.append(root.object_key)

    async def run(self) -> None:
        depth = 0
        while self._next:
            members, self._next = self._next, []
            candidates = [await self._root(members[0])] if self._is_root else await _look(self._store, members)
            await self._open(candidates, depth)
            depth += 1

    async def _root(self, member: Found) -> _Candidate:
        if not member.size_bytes:
            return _Candidate(member, Format.UNKNOWN)
        head = await self._store.read(member.object_key, member.offset, min(HEAD_BYTES, member.size_bytes))
        kind = recognise(head, member.size_bytes)
        if kind is Format.UNKNOWN and await ends_as_zip(self._store, member):
            kind = Format.ZIP
        return _Candidate(member, kind, head)

    async def _open(self, candidates: Sequence[_Candidate], depth: int) -> None:
        places: list[_Candidate] = []
        packed: list[Packed] = []
        for candidate in candidates:
            if candidate.format not in ARCHIVES:
                self._add_file(candidate)
                continue
            self._budget.enter(depth)
            if candidate.format in _ADDRESSABLE and candidate.member.encoding is Encoding.PLAIN:
                places.append(candidate)
            else:
                packed.append(self._packed(candidate))
        contents = await self._unpack(packed) if packed else []
        is_single = [self._arrived(content, places) for content in contents]
        for place in places:
            await self._list(place)
        self._is_root = self._is_root and any(is_single)

    def _packed(self, candidate: _Candidate) -> Packed:
        compression = None if candidate.format in _ADDRESSABLE else candidate.format
        return Packed(candidate.member, self._folder(candidate.member), compression, is_upload=self._is_root)

    def _folder(self, member: Found) -> str:
        return "" if self._is_root and self._is_alone else member.path + "/"

    async def _unpack(self, packed: Sequence[Packed]) -> list[Content]:
        return await unpack(self._store, self._space.next_key(), packed, self._budget)

    def _arrived(self, content: Content, places: list[_Candidate]) -> bool:
        """Sort what came out of an archive; whether it is one more archive, for the next level."""
        if content.damage is not None:
            self._skip(content.whole, content.damage)
        elif content.format is Format.TAR:
            self._add(content.members)
        elif content.format in _ADDRESSABLE and content.packed.compression is None:
            places.append(_Candidate(content.whole, content.format))
        elif content.format in ARCHIVES and (self._is_root or may_be_archive(content.whole.path)):
            self._next.append(content.whole)
            return True
        else:
            self._add_file(_Candidate(content.whole, content.format, content.head))
        return False

    async def _list(self, place: _Candidate) -> None:
        list_members = list_zip if place.format is Format.ZIP else list_tar
        try:
            if self._is_root and place.format is Format.TAR:
                self._budget.spend(place.member.size_bytes)
            found = await list_members(self._store, place.member, self._folder(place.member), self._budget)
        except UserError as error:
            self._skip(place.member, error)
        else:
            self._add(found)

    def _skip(self, archive: Found, error: UserError) -> None:
        if self._is_root or error.code not in DAMAGE:
            raise error
        self.leaves.append(replace(archive, skipped=f"an archive that cannot be read: {error.detail}"))

    def _add(self, members: Sequence[Found]) -> None:
        for member in members:
            is_candidate = self._space.inner is Inner.OPEN and not member.skipped and may_be_archive(member.path)
            (self._next if is_candidate else self.leaves).append(member)

    def _add_file(self, candidate: _Candidate) -> None:
        member = candidate.member
        if not (self._is_root and self._is_alone):
            self.leaves.append(replace(member, skipped=skip_reason(member.path, member.size_bytes)))
        elif candidate.format in IMAGES:
            self.leaves.append(member)
        else:
            raise refusal(candidate.head)


async def _look(store: ObjectStore, members: Sequence[Found]) -> list[_Candidate]:
    """What the contents of `members` say they are, in order of place."""
    known = {(member.object_key, member.offset): member for member in members}
    candidates: list[_Candidate] = []
    for read in plan(members, HEAD_BYTES):
        body = await store.read(read.object_key, read.start, read.length)
        candidates += await asyncio.to_thread(_recognise_all, read, body, known)
    return candidates


def _recognise_all(read: Read, body: bytes, known: dict[tuple[str, int], Found]) -> list[_Candidate]:
    view = memoryview(body)
    return [_candidate(known[m.object_key, m.offset], read.span(m, view)) for m in read.members]


def _candidate(member: Found, span: memoryview) -> _Candidate:
    try:
        kind = recognise(decode_head(member, span, HEAD_BYTES), member.size_bytes)
        if kind in _ADDRESSABLE and member.encoding is Encoding.ZIP_STORED:
            start = member.offset + payload_offset(span)
            member = replace(member, offset=start, span_bytes=member.size_bytes, encoding=Encoding.PLAIN, crc32=None)
    except Damaged:
        kind = Format.UNKNOWN
    return _Candidate(member, kind)

"""The body of a request becomes one object: a few parts in memory, no local disk (import semantics §1.3)."""

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from libs.common.errors import Retryable, UserError
from libs.common.storage import PART_BYTES, PARTS_IN_FLIGHT, SINGLE_PUT_BYTES, ObjectStore
from services.gateway.forms import FIELDS, FIELDS_BYTES, Part, read_field, read_form, read_part

PIECE_BYTES = 1 << 20
UPLOAD_MEMORY = SINGLE_PUT_BYTES + PART_BYTES * (PARTS_IN_FLIGHT + 1)
"""The most that one upload holds in memory on its way to the store."""
FILES = 1000
"""The most of one form."""
NAME_LENGTH = 255
NO_FILE = "Unable to identify upload format."
"""XNAT's words for a request without a file (§1.3)."""
HOW_TO_SEND = (
    "Send the file as the body, with its Content-Type or inbody=true, or as the file of a form; an empty one is none."
)
TOO_MANY = f"The form has too many fields: at most {FIELDS}, of {FIELDS_BYTES} bytes together, are read."

SUFFIXES = {
    "application/dicom": ".dcm",
    "application/x-mirc": "",
    "application/x-mirc-dicom": ".dcm",
    "application/zip": ".zip",
    "application/x-zip": ".zip",
    "application/x-zip-compressed": ".zip",
    "application/xar": ".xar",
    "application/x-gtar": ".tar.gz",
    "application/x-compressed-tar": ".tar.gz",
    "application/x-tar": ".tar",
    "application/tar": ".tar",
    "application/x-gzip": ".gz",
    "application/gzip": ".gz",
    "application/x-bzip2": ".bz2",
    "application/x-bzip": ".bz2",
    "application/octet-stream": "",
    "binary/octet-stream": "",
    "application/pdf": ".pdf",
}
"""Content-Types by which a body is the file (§1.3 and those it forgot); only the name comes from them."""
FAMILIES = ("text/", "image/", "video/", "audio/", "application/vnd.", "application/ms")


class BodyKind(Enum):
    """What a body is."""

    FILE = "file"
    FORM = "form"
    FIELDS = "fields"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it is stored. `name` is the client's for it, and may be PHI."""

    key: str
    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Body:
    """All that a request's body held: its files that have a byte, and its fields."""

    uploads: tuple[Upload, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Where the files of a body go: a key for each number, a name where the client gives none, and a limit.

    `max_bytes`: together; 0: any size.
    """

    key_of: Callable[[int], str]
    name: str
    max_bytes: int


class Budget:
    """Memory for uploads on their way, over all requests: what doesn't fit is refused before its body is read."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0

    @contextmanager
    def take(self, content_length: int | None) -> Iterator[None]:
        """Hold what an upload of `content_length` (None: unknown) can need. Raises `Retryable` if it is not there."""
        needed = UPLOAD_MEMORY if content_length is None else min(UPLOAD_MEMORY, content_length)
        if self._taken and self._taken + needed > self._max_bytes:
            raise Retryable("busy", "Too many uploads are on their way; send it again in a moment.")
        self._taken += needed
        try:
            yield
        finally:
            self._taken -= needed


def content_length(headers: Headers, max_bytes: int) -> int | None:
    """What a request says of its body's length. Raises `UserError` where that is more than `max_bytes` (0: any)."""
    text = headers.get("content-length")
    length = int(text) if text and text.isdecimal() else None
    if max_bytes and length and length > max_bytes:
        raise UserError("limit-upload-bytes", f"The upload is larger than {max_bytes} bytes.")
    return length


def kind_of(content_type: str, *, is_file: bool) -> BodyKind:
    """What a body of this Content-Type is; `is_file` says that `inbody` was asked for."""
    plain = content_type.split(";", maxsplit=1)[0].strip().lower()
    if plain == "multipart/form-data":
        return BodyKind.FORM
    if is_file or plain in SUFFIXES or plain.startswith(FAMILIES):
        return BodyKind.FILE
    return BodyKind.FIELDS if plain == "application/x-www-form-urlencoded" else BodyKind.NONE


def name_of(path_rest: str, content_type: str) -> str:
    """The name of a raw body: what follows `/import/`, else `upload` and the type's suffix (§1.3)."""
    plain = content_type.split(";", maxsplit=1)[0].strip().lower()
    return PurePosixPath(path_rest).name or f"upload{SUFFIXES.get(plain, '')}"


async def receive(
    store: ObjectStore, target: Target, chunks: AsyncIterator[bytes], content_type: str, kind: BodyKind
) -> Body:
    """Read the whole body; each file in it is stored at a key of the target, one after the other.

    If this fails in a file, that file is not stored; those before it in a form are.
    """
    match kind:
        case BodyKind.FILE:
            upload = await _store(store, target.key_of(0), target.name, _Meter(target.max_bytes), chunks)
            return Body(() if upload is None else (upload,))
        case BodyKind.FORM:
            return await _receive_form(store, target, chunks, content_type)
        case BodyKind.FIELDS:
            return Body((), await read_fields(chunks))
        case BodyKind.NONE:
            return Body()


async def discard(chunks: AsyncIterator[bytes]) -> None:
    """Read a body that is not needed, so that its sender gets to read the answer."""
    async for _ in chunks:
        pass


async def _receive_form(store: ObjectStore, target: Target, chunks: AsyncIterator[bytes], content_type: str) -> Body:
    pieces = read_form(chunks, content_type)
    uploads: list[Upload] = []
    fields: list[tuple[str, str]] = []
    size = 0
    meter = _Meter(target.max_bytes)
    async for piece in pieces:
        assert isinstance(piece, Part)  # noqa: S101 - whoever takes a part reads it up to its end
        if piece.filename is None:
            fields.append((piece.name, await read_field(pieces, piece.name)))
            size += len(piece.name) + len(fields[-1][1])
            if len(fields) > FIELDS or size > FIELDS_BYTES:
                raise UserError("form-malformed", TOO_MANY)
            continue
        if len(uploads) == FILES:
            raise UserError("limit-files", f"The form has more than {FILES} files: send them in one zip.")
        name = piece.filename.replace("\\", "/").rsplit("/", 1)[-1]
        stored = await _store(store, target.key_of(len(uploads)), name or target.name, meter, read_part(pieces))
        uploads += [] if stored is None else [stored]
    return Body(tuple(uploads), tuple(fields))


async def read_fields(chunks: AsyncIterator[bytes]) -> tuple[tuple[str, str], ...]:
    """The fields of an urlencoded form, which is short."""
    text = bytearray()
    async for chunk in chunks:
        text += chunk
        if len(text) > FIELDS_BYTES:
            raise UserError(
                "form-malformed", f"{NO_FILE} A form this long is a file: send it with inbody=true or its own type."
            )
    try:
        return tuple(parse_qsl(text.decode(errors="replace"), keep_blank_values=True, max_num_fields=FIELDS))
    except ValueError as error:
        raise UserError("form-malformed", TOO_MANY) from error


class _Meter:
    """Size and digest of each file that passes, which is regrouped into pieces worth a call each."""

    def __init__(self, max_bytes: int) -> None:
        self.size_bytes = 0
        self.sha256 = ""
        self._max_bytes = max_bytes
        self._before = 0
        self._digest = hashlib.sha256()

    async def pieces(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._before += self.size_bytes
        self.size_bytes, self._digest = 0, hashlib.sha256()
        pending = bytearray()
        async for chunk in chunks:
            pending += chunk
            if len(pending) >= PIECE_BYTES:
                yield self._pass(bytes(pending))
                pending.clear()
        if pending:
            yield self._pass(bytes(pending))
        self.sha256 = self._digest.hexdigest()

    def _pass(self, piece: bytes) -> bytes:
        self.size_bytes += len(piece)
        if self._max_bytes and self._before + self.size_bytes > self._max_bytes:
            raise UserError(
                "limit-upload-bytes", f"The upload is larger than {self._max_bytes} bytes: send it in parts."
            )
        self._digest.update(piece)  # about 0.7 ms a MiB: cheaper than handing it to a thread
        return piece


async def _store(store: ObjectStore, key: str, name: str, meter: _Meter, chunks: AsyncIterator[bytes]) -> Upload | None:
    """One PUT for a small file, bounded multipart for a large one; None where there is not a byte."""
    pieces = meter.pieces(chunks)
    head: deque[bytes] = deque()
    async for piece in pieces:
        head.append(piece)
        if meter.size_bytes > SINGLE_PUT_BYTES:
            await store.put_stream(key, _chain(head, pieces))
            break
    else:
        if not head:
            return None
        await store.put(key, b"".join(head))
    return Upload(key, name[-NAME_LENGTH:], meter.size_bytes, meter.sha256)


async def _chain(head: deque[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while head:
        yield head.popleft()
    async for piece in rest:
        yield piece

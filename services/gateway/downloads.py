"""Objects of the store as answers: whole, in part (RFC 9110 §14), or many as one zip; of files a piece in memory."""

import mimetypes
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from libs.common.errors import Retryable, UserError
from libs.common.storage import Missing, ObjectStore

XML = "text/xml; charset=utf-8"
DOCUMENT_BYTES = 1 << 30
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Content:
    """One object to be downloaded, or put into a zip, under `name`."""

    key: str
    name: str
    size_bytes: int
    md5: str = ""
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of an object."""

    start: int
    length: int


def read_range(header: str, size_bytes: int) -> Span | None:
    """The one range that a Range header asks for; None where the whole is to be sent, as for several ranges.

    Raises:
        UserError: the range begins behind the end.
    """
    match = _RANGE.fullmatch(header.strip().replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match[1], match[2]
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size_bytes - int(last))
    end = min(int(last), size_bytes - 1) if first and last else size_bytes - 1
    if start >= size_bytes or (not first and int(last) == 0):
        raise UserError("range-unsatisfiable", f"The file has {size_bytes} bytes.")
    return Span(start, end - start + 1)


def media_type_of(name: str, file_format: str) -> str:
    """The Content-Type of a file by its format and name."""
    if file_format == "DICOM":
        return "application/dicom"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def download(store: ObjectStore, content: Content, headers: Headers, *, is_head: bool) -> Response:
    """A file, or the part of it that the request asks for."""
    etag = f'"{content.md5}"'
    answer = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(content.name.rsplit('/', 1)[-1])}",
    }
    if content.md5 and etag in [text.strip() for text in headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=answer)
    span, status = Span(0, content.size_bytes), 200
    if headers.get("if-range", etag) == etag:
        try:
            part = read_range(headers.get("range", ""), content.size_bytes)
        except UserError as error:
            return Response(error.detail, 416, {**answer, "Content-Range": f"bytes */{content.size_bytes}"})
        if part is not None:
            span, status = part, 206
            answer["Content-Range"] = f"bytes {part.start}-{part.start + part.length - 1}/{content.size_bytes}"
    answer |= {"Content-Length": str(span.length), "Content-Type": content.media_type}
    if is_head or not span.length:
        return Response(status_code=status, headers=answer)
    return StreamingResponse(await _begun(store, content.key, span), status, answer)


async def _begun(store: ObjectStore, key: str, span: Span) -> AsyncIterator[bytes]:
    """The pieces of an object, of which the first has arrived: a failure still becomes a status."""
    pieces = store.stream(key, span.start, span.length)
    try:
        first = await anext(pieces)
    except Missing as error:
        raise Retryable("object-missing", "The file is listed, but the store does not have it.") from error

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_pieces()


async def document(store: ObjectStore, key: str, *, is_head: bool) -> Response:
    """An XML document that the catalog service has written. Raises `UserError` where it has not (yet)."""
    try:
        if is_head:
            stored = await store.head(key)
            answer = {"Content-Length": str(stored.size_bytes), "Content-Type": XML}
            return Response(headers=answer)
        # of one version even while it is replaced: one request, whatever its length
        body = b"".join([piece async for piece in store.stream(key, 0, DOCUMENT_BYTES)])
    except Missing as error:
        raise UserError("not-found", "There is no such document (yet).") from error
    return Response(body, headers={"Content-Type": XML})


class _Sink:
    """Where zipfile writes to: it can't seek, so sizes and CRC follow each member."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        self._pending += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        taken = bytes(self._pending)
        self._pending.clear()
        return taken


async def zipped(store: ObjectStore, contents: Sequence[Content]) -> AsyncIterator[bytes]:
    """A zip of objects, stored (images are hardly smaller deflated), made while it is sent."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for content in contents:
            entry = zipfile.ZipInfo(content.name, ZIP_DATE)
            entry.file_size = content.size_bytes
            with archive.open(entry, "w", force_zip64=content.size_bytes >= zipfile.ZIP64_LIMIT) as member:
                if content.size_bytes:
                    async for piece in store.stream(content.key, 0, content.size_bytes):
                        member.write(piece)
                        yield sink.take()
    yield sink.take()

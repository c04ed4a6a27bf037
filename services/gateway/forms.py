"""`multipart/form-data` as a stream of parts, parsed while it arrives: nothing is spooled (RFC 7578)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from libs.common.errors import UserError

FIELD_BYTES = 64 << 10
FIELDS_BYTES = 1 << 20
FIELDS = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """The start of a part; `filename` is None for a field."""

    name: str
    filename: str | None


class Mark(Enum):
    """The end of a part."""

    END = "end"


Piece = Part | bytes | Mark
"""What comes out of a form, in order: a part, its bytes, its end; then the next."""


class _Pieces:
    """Collects what the push parser calls back with."""

    def __init__(self, boundary: bytes) -> None:
        self.found: list[Piece] = []
        self.is_complete = False
        self._name = self._value = b""
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header,
                "on_headers_finished": self._headers,
                "on_part_data": self._data,
                "on_part_end": lambda: self.found.append(Mark.END),
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[Piece]:
        self.found = []
        self._parser.write(chunk)
        return self.found

    def _begin(self) -> None:
        self._name = self._value = self._disposition = b""

    def _header_name(self, chunk: bytes, start: int, end: int) -> None:
        self._name += chunk[start:end]

    def _header_value(self, chunk: bytes, start: int, end: int) -> None:
        self._value += chunk[start:end]

    def _header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        filename = options.get(b"filename")
        name = options.get(b"name", b"").decode(errors="replace")
        self.found.append(Part(name, None if filename is None else filename.decode(errors="replace")))

    def _data(self, chunk: bytes, start: int, end: int) -> None:
        self.found.append(chunk[start:end])

    def _end(self) -> None:
        self.is_complete = True


async def read_form(chunks: AsyncIterator[bytes], content_type: str) -> AsyncIterator[Piece]:
    """The pieces of a form. Raises `UserError` where it is malformed or ends early."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise UserError("form-malformed", "The form needs a boundary: multipart/form-data; boundary=…")
    try:
        pieces = _Pieces(boundary)
        async for chunk in chunks:
            for piece in pieces.feed(chunk):
                yield piece
    except FormParserError as error:
        raise UserError(
            "form-malformed",
            "The multipart body is malformed: its parts must begin with its boundary.",
        ) from error
    if not pieces.is_complete:
        raise UserError("form-malformed", "The multipart body ends early: send it whole, up to its last boundary.")


async def read_field(pieces: AsyncIterator[Piece], name: str) -> str:
    """The text of the part that has just begun."""
    text = bytearray()
    async for chunk in read_part(pieces):
        text += chunk
        if len(text) > FIELD_BYTES:
            raise UserError("form-malformed", f"The form field {name[:64]} is longer than {FIELD_BYTES} bytes.")
    return text.decode(errors="replace")


async def read_part(pieces: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    """The bytes of the part that has just begun, up to its end; the form goes on behind it."""
    async for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            return

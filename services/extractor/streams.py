"""Unpacking compressed streams piece by piece, in bounded memory whatever they expand to (pure)."""

import bz2
from collections.abc import Iterable, Iterator
from typing import Protocol

from isal import igzip_lib, isal_zlib

from libs.common.errors import UserError
from libs.common.facts import Encoding, Member
from libs.common.spans import ISAL_ERROR, Damaged, payload_offset
from services.extractor.formats import Format

PIECE_BYTES = 1 << 20
SLICE_BYTES = 32 << 10
"""Fed at once: what a decoder leaves over at the end of a stream is copied, and tiny streams may follow each other."""

_ERRORS = (ISAL_ERROR, OSError, EOFError, ValueError)
_MAGIC = {Format.GZIP: b"\x1f\x8b", Format.BZIP2: b"BZh"}
_LOCAL_HEADER_BYTES = 30


class Decoder(Protocol):
    """What the decompressors of `bz2` and `isal.igzip_lib` have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether all that was fed is decoded."""

    @property
    def unused_data(self) -> bytes:
        """What was fed beyond the stream's end."""

    def decompress(self, data: bytes, max_length: int = ...) -> bytes:
        """At most `max_length` bytes; the rest when called again with no input."""


class Layer(Protocol):
    """One way in which bytes are wrapped."""

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """The bytes inside, in pieces of at most `PIECE_BYTES`. Raises `UserError` where they are damaged."""

    def close(self) -> None:
        """Nothing more comes. Raises `UserError` where something is missing."""


def through(layers: Iterable[Layer], packed: bytes) -> Iterator[bytes]:
    """What is inside all layers, the outermost first."""
    pieces: Iterator[bytes] = iter((packed,))
    for layer in layers:
        pieces = _each(layer, pieces)
    return pieces


def _each(layer: Layer, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from layer.feed(piece)


def _drain(decoder: Decoder, packed: bytes) -> Iterator[bytes]:
    """All that `packed` expands to, up to the end of the decoder's stream."""
    while True:
        piece = decoder.decompress(packed, PIECE_BYTES)
        packed = b""
        if piece:
            yield piece
        if decoder.eof or decoder.needs_input:
            return


class Compressed:
    """A gzip (RFC 1952) or bzip2 file: one stream or several behind each other; what follows them is ignored."""

    def __init__(self, kind: Format) -> None:
        self._kind = kind
        self._decoder = self._start()
        self._begun = False
        self._rest = b""  # what may be the beginning of another stream
        self._over = False

    def _start(self) -> Decoder:
        decoder: Decoder = (
            igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            if self._kind is Format.GZIP
            else bz2.BZ2Decompressor()
        )
        return decoder

    def feed(self, packed: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(packed), SLICE_BYTES):
                yield from self._feed(packed[start : start + SLICE_BYTES])
        except _ERRORS as error:
            raise UserError("damaged-archive", f"its {self._kind} stream is broken") from error

    def _feed(self, packed: bytes) -> Iterator[bytes]:
        while packed and not self._over:
            if self._decoder.eof:
                packed = self._next_stream(packed)
                continue
            self._begun = True
            yield from _drain(self._decoder, packed)
            packed = self._decoder.unused_data if self._decoder.eof else b""

    def _next_stream(self, packed: bytes) -> bytes:
        magic = _MAGIC[self._kind]
        packed = self._rest + packed
        if len(packed) < len(magic) and magic.startswith(packed):
            self._rest = packed
            return b""
        self._rest = b""
        self._over = not packed.startswith(magic)
        self._decoder = self._decoder if self._over else self._start()
        return packed

    def close(self) -> None:
        if not self._begun or not self._decoder.eof:
            raise UserError("truncated-archive", f"its {self._kind} stream breaks off")


class ZipMember:
    """A member of a zip, from its local header on; held to the size and CRC-32 that the directory states."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._decoder: Decoder | None = None
        if member.encoding is Encoding.ZIP_DEFLATED:
            self._decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        self._header = b""
        self._skip: int | None = None  # bytes of the header yet to come; unknown at first
        self._size_bytes = 0
        self._crc32 = 0

    def feed(self, packed: bytes) -> Iterator[bytes]:
        for start in range(0, len(packed), PIECE_BYTES):
            payload = self._behind_header(packed[start : start + PIECE_BYTES])
            for piece in self._pieces(payload):
                self._count(piece)
                yield piece

    def _behind_header(self, packed: bytes) -> bytes:
        if self._skip is None:
            self._header += packed
            if len(self._header) < _LOCAL_HEADER_BYTES:
                return b""
            packed, self._header = self._header, b""
            try:
                self._skip = payload_offset(memoryview(packed))
            except Damaged as error:
                raise UserError("damaged-archive", str(error)) from error
        skipped = min(self._skip, len(packed))
        self._skip -= skipped
        return packed[skipped:]

    def _pieces(self, payload: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            payload = payload[: self._member.size_bytes - self._size_bytes]
            return iter((payload,) if payload else ())
        return self._inflate(self._decoder, payload)

    def _inflate(self, decoder: Decoder, payload: bytes) -> Iterator[bytes]:
        try:
            if payload and not decoder.eof:
                yield from _drain(decoder, payload)
        except _ERRORS as error:
            raise UserError("damaged-archive", "its deflate stream is broken") from error

    def _count(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        self._crc32 = isal_zlib.crc32(piece, self._crc32)
        if self._size_bytes > self._member.size_bytes:
            raise UserError("damaged-archive", "it holds more bytes than the zip states")

    def close(self) -> None:
        if self._size_bytes != self._member.size_bytes:
            raise UserError("truncated-archive", "it holds fewer bytes than the zip states")
        if self._crc32 != self._member.crc32:
            raise UserError("damaged-archive", "its CRC-32 is not the one that the zip states")

"""Listing a tar from its headers as its bytes come by, or by skipping to them (pure): POSIX ustar and pax, GNU tar."""

import tarfile

from libs.common.errors import UserError
from libs.common.facts import Encoding
from services.extractor.limits import Budget
from services.extractor.members import Found, member_path, skip_reason, unsafe

METADATA_BYTES = 1 << 20
"""No long name or set of pax records is longer."""

_BLOCK = tarfile.BLOCKSIZE
_LONG_NAMES = frozenset({tarfile.GNUTYPE_LONGNAME})
_IGNORED = frozenset({tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE})
_PAX = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_METADATA = _LONG_NAMES | _IGNORED | _PAX
_SPECIAL = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE})
_FOLDERS = frozenset({tarfile.DIRTYPE, b"D"})
"""Also GNU's directory with its list of names, which has a body."""
_NO_FILES = frozenset({b"V", b"M"})
"""GNU: a volume's label, the rest of a file that began in another volume."""


class TarWalk:
    """Reads the headers of the tar that lies plain at `archive`; it never needs the bodies.

    Feed it pieces in order of place; those before `wanted` may be left out.
    """

    def __init__(self, archive: Found, folder: str, budget: Budget) -> None:
        self.found: list[Found] = []
        self.ended = False
        self._archive = archive
        self._folder = folder
        self._budget = budget
        self._number = 0
        self._next = 0  # where the block or the metadata begins that is wanted
        self._length = _BLOCK
        self._gathered = bytearray()
        self._body_end = 0
        self._metadata: bytes | None = None  # the type of the metadata that is wanted
        self._name: str | None = None
        self._records: dict[str, str] = {}
        self._sparse: tarfile.TarInfo | None = None

    @property
    def wanted(self) -> int:
        """The position of the next byte that is needed."""
        return self._next + len(self._gathered)

    def feed(self, position: int, piece: memoryview) -> None:
        """Take what is wanted out of the bytes from `position`. Raises `UserError` as `unsafe-member` and the like."""
        while not self.ended:
            begin = self.wanted - position
            if begin >= len(piece):
                return
            self._gathered += piece[begin : begin + self._length - len(self._gathered)]
            if len(self._gathered) == self._length:
                taken = bytes(self._gathered)
                self._gathered.clear()
                self._next += self._length
                self._take(taken)

    def close(self, size_bytes: int) -> None:
        """The tar has ended after `size_bytes`. Raises `UserError` if that is too early.

        An end without the two zero blocks is accepted between members, as tar programs do.
        """
        between = self._metadata is None and self._sparse is None and not self._gathered and not self._records
        if self._body_end > size_bytes or not (self.ended or (between and self._name is None)):
            raise UserError("truncated-archive", "the tar breaks off in the middle of a member")

    def _take(self, taken: bytes) -> None:
        if self._sparse is not None:
            self._take_sparse(taken[504], self._sparse)
        elif self._metadata is not None:
            self._take_metadata(self._metadata, taken)
        else:
            self._take_header(taken)

    def _take_header(self, block: bytes) -> None:
        if not block.strip(b"\0"):
            self.ended = True
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        except (tarfile.HeaderError, ValueError) as error:
            raise UserError("damaged-archive", f"the tar has no header after member {self._number}") from error
        if header.size < 0:
            raise UserError("damaged-archive", f"member {self._number + 1} of the tar has no size")
        if header.type in _METADATA:
            self._want_metadata(header)
        elif header.type == tarfile.GNUTYPE_SPARSE and block[482]:
            self._sparse = header
        else:
            self._take_member(header)

    def _want_metadata(self, header: tarfile.TarInfo) -> None:
        if header.size > METADATA_BYTES:
            raise UserError("damaged-archive", f"member {self._number + 1} of the tar has a name without end")
        self._metadata = header.type
        self._length = max(_BLOCK, _padded(header.size))
        if not header.size:
            self._take_metadata(header.type, b"")

    def _take_metadata(self, kind: bytes, taken: bytes) -> None:
        self._metadata = None
        self._length = _BLOCK
        if kind in _LONG_NAMES:
            self._name = taken.split(b"\0", 1)[0].decode("utf-8", "replace")
        elif kind in _PAX:
            self._records = _pax_records(taken)

    def _take_sparse(self, is_extended: int, header: tarfile.TarInfo) -> None:
        if not is_extended:
            self._sparse = None
            self._take_member(header)

    def _take_member(self, header: tarfile.TarInfo) -> None:
        self._number += 1
        records, self._records = self._records, {}
        name, self._name = records.get("path", self._name or header.name), None
        size_bytes = _size(records, header, self._number)
        if header.type in _SPECIAL:
            raise unsafe(self._number, "is a link or a device")
        path = member_path(name, self._number)
        has_body = header.type != tarfile.DIRTYPE
        is_file = header.type not in _FOLDERS | _NO_FILES and path and not name.endswith("/")
        self._budget.spend(0, 1)
        if is_file:
            is_sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in records)
            self._append(path, size_bytes, "a sparse file, which is not read here" if is_sparse else "")
        if has_body:
            self._body_end = self._next + size_bytes
            self._next += _padded(size_bytes)

    def _append(self, path: str, size_bytes: int, skipped: str) -> None:
        self.found.append(
            Found(
                ordinal=self._number,
                path=self._folder + path,
                object_key=self._archive.object_key,
                offset=self._archive.offset + self._next,
                span_bytes=size_bytes,
                size_bytes=size_bytes,
                encoding=Encoding.PLAIN,
                skipped=skip_reason(path, size_bytes) or skipped,
            )
        )


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK) * _BLOCK


def _size(records: dict[str, str], header: tarfile.TarInfo, number: int) -> int:
    text = records.get("size", "")
    if not text:
        return header.size
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise UserError("damaged-archive", f"member {number} of the tar has no size")
    return int(text)


def _pax_records(body: bytes) -> dict[str, str]:
    """`length keyword=value` and a line feed each (POSIX pax, Extended Header); what is malformed ends the list."""
    records: dict[str, str] = {}
    at = 0
    while at < len(body):
        digits, blank, _ = body[at : at + 20].partition(b" ")
        if not blank or not digits.isdigit() or int(digits) <= len(digits):
            break
        keyword, _, value = body[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        records[keyword.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        at += int(digits)
    return records

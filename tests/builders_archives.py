"""Archives made of names and bytes, whole or broken in one particular way."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from typing import BinaryIO, cast

Files = Mapping[str, bytes]
DICOM = bytes(128) + b"DICM" + bytes(range(256)) * 40
"""Enough of a file for the extractor, which looks no further."""


class _Pipe(io.RawIOBase):
    """A sink that cannot seek, so that zip writers fall back to data descriptors."""

    def __init__(self) -> None:
        self.body = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, chunk: object) -> int:
        self.body += cast("bytes", chunk)
        return len(cast("bytes", chunk))


def zip_bytes(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(name), body, method)
    return file.getvalue()


def zip64_bytes(files: Files) -> bytes:
    """Each member with a zip64 field in its local header, and a zip64 end of the directory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, body in files.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(body)
    return with_zip64_end(file.getvalue())


def with_zip64_end(body: bytes) -> bytes:
    """Every value of the end record moved to a zip64 record, and every place of a member to a zip64 field."""
    end = body.rindex(b"PK\x05\x06")
    count, size, start = (int.from_bytes(body[end + a : end + b], "little") for a, b in ((10, 12), (12, 16), (16, 20)))
    directory = bytearray()
    at = start
    while at < end:
        lengths = [int.from_bytes(body[at + a : at + a + 2], "little") for a in (28, 30, 32)]
        header = bytearray(body[at : at + 46 + sum(lengths)])
        sizes = header[24:28], header[20:24], header[42:46]
        extra = b"\x01\x00\x18\x00" + b"".join(bytes(value) + bytes(4) for value in sizes)
        header[20:28] = b"\xff" * 8
        header[42:46] = b"\xff" * 4
        header[30:32] = (len(extra)).to_bytes(2, "little")
        name = header[46 : 46 + lengths[0]]
        directory += header[:46] + name + extra + header[46 + lengths[0] + lengths[1] :]
        at += 46 + sum(lengths)
    size = len(directory)
    record = b"PK\x06\x06" + (44).to_bytes(8, "little") + b"\x2d\x03\x2d\x00" + bytes(8)
    record += b"".join(value.to_bytes(8, "little") for value in (count, count, size, start))
    locator = b"PK\x06\x07" + bytes(4) + (start + size).to_bytes(8, "little") + b"\x01\x00\x00\x00"
    return body[:start] + bytes(directory) + record + locator + b"PK\x05\x06" + bytes(4) + b"\xff" * 12 + bytes(2)


def streamed_zip_bytes(files: Files) -> bytes:
    """With data descriptors behind the members instead of sizes before them."""
    pipe = _Pipe()
    with zipfile.ZipFile(cast("BinaryIO", pipe), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return bytes(pipe.body)


def patched_zip(body: bytes, **values: int) -> bytes:
    """The first central header with other `flags`, `method`, `size`, `packed`, `offset`, `host` or `attributes`."""
    places = {
        "host": (5, 1), "flags": (8, 2), "method": (10, 2), "packed": (20, 4), "size": (24, 4), "attributes": (38, 4),
        "offset": (42, 4),
    }  # fmt: skip
    patched = bytearray(body)
    start = body.index(b"PK\x01\x02")
    for name, value in values.items():
        at, width = places[name]
        patched[start + at : start + at + width] = value.to_bytes(width, "little")
    return bytes(patched)


def tar_bytes(files: Files, format_: int = tarfile.PAX_FORMAT, mode: str = "") -> bytes:
    """A tar, or with `mode` "gz" or "bz2" a compressed one."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{mode}", format=format_) as archive:  # type: ignore[call-overload]
        for name, body in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(body)
            archive.addfile(header, io.BytesIO(body))
    return file.getvalue()


def tar_with(*headers: tarfile.TarInfo, format_: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of headers alone, after one good file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format_) as archive:
        first = tarfile.TarInfo("good.dcm")
        first.size = len(DICOM)
        archive.addfile(first, io.BytesIO(DICOM))
        for header in headers:
            archive.addfile(header)
    return file.getvalue()


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type = kind
    header.linkname = target
    return header

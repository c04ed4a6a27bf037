"""The uploads that are measured: made once and kept in a cache; the large one is made while it is sent."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from tests.bench.instances import CT_STUDY, LARGE_STUDY, MR_STUDY, Instance, Study

CREATED = (2024, 3, 11, 10, 15, 0)
ZLIB_LEVEL = 6  # what zip, gzip and XNAT's clients use
PART_BYTES = 1 << 20
SOURCES = ("corpora.py", "instances.py", "pixels.py")  # a change in these makes other corpora


class Packing(Enum):
    """How the files travel."""

    ZIP = "zip"
    STORED = "stored"
    TGZ = "tgz"

    @property
    def content_type(self) -> str:
        """What a client says of it."""
        return "application/gzip" if self is Packing.TGZ else "application/zip"


@dataclass(frozen=True)
class Corpus:
    """One study in one packing."""

    study: Study
    packing: Packing

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return f"{self.study.name}-{self.packing.value}"

    def scaled(self, scale: float) -> Corpus:
        """The same with fewer files."""
        return Corpus(self.study.scaled(scale), self.packing)

    def path(self, cache: Path) -> Path:
        """Where in `cache` it is or will be; other code would make other files, so it would look elsewhere."""
        digest = hashlib.sha256(b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES))
        return cache / digest.hexdigest()[:12] / f"{self.name}-{self.study.files}"

    def ensure(self, cache: Path) -> Path:
        """The file that holds it, made now if it is not in `cache` yet."""
        path = self.path(cache)
        if not path.exists():
            _make_fresh(path.parent)
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                WRITERS[self.packing](file, self.study.instances())
            partial.rename(path)
        return path


ALL = [Corpus(study, packing) for study in (MR_STUDY, CT_STUDY) for packing in Packing]


def large_zip(study: Study) -> Iterator[bytes]:
    """A stored zip64 of a large study, part by part; no more than a file and a part of it are in memory."""
    sink = _Parts()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # writes only
        for instance in study.similar_instances():
            archive.writestr(_member(instance), instance.content)
            if sink.size >= PART_BYTES:
                yield sink.take()
    yield sink.take()


def large_study(scale: float) -> Study:
    """20,000 files of 527 KB, or fewer."""
    return LARGE_STUDY.scaled(scale)


class _Parts:
    """Takes what a zip writes and hands it on; without `tell` and `seek` the zip is written as to a pipe."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, part: bytes) -> int:
        self._parts.append(part)
        self.size += len(part)
        return len(part)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts, self.size = [], 0
        return taken


def _write_zip(compression: int) -> Callable[[BinaryIO, Iterator[Instance]], None]:
    def write(file: BinaryIO, instances: Iterator[Instance]) -> None:
        with zipfile.ZipFile(file, "w", compression, compresslevel=ZLIB_LEVEL) as archive:
            for instance in instances:
                archive.writestr(_member(instance), instance.content, compression)

    return write


def _write_tgz(file: BinaryIO, instances: Iterator[Instance]) -> None:
    with (
        gzip.GzipFile("", "wb", ZLIB_LEVEL, file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        for instance in instances:
            member = tarfile.TarInfo(instance.path)
            member.size = len(instance.content)
            archive.addfile(member, BytesIO(instance.content))


WRITERS = {
    Packing.ZIP: _write_zip(zipfile.ZIP_DEFLATED),
    Packing.STORED: _write_zip(zipfile.ZIP_STORED),
    Packing.TGZ: _write_tgz,
}


def _member(instance: Instance) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(instance.path, CREATED)
    member.external_attr = 0o644 << 16
    return member


def _make_fresh(directory: Path) -> None:
    """Make the directory of what today's code makes; what older code made is removed."""
    if not directory.exists():
        shutil.rmtree(directory.parent, ignore_errors=True)
        directory.mkdir(parents=True)

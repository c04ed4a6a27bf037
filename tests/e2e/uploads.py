"""Uploads made from the real data, in every container that clients send."""

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

DATA = Path(__file__).parents[3] / "shared" / "data"
Files = dict[str, bytes]


def folder(name: str) -> Files:
    """The files of a data folder, by their path below it."""
    root = DATA / name
    assert root.is_dir(), f"the test data is missing: {root.name}"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip whose sizes stand in its local headers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return buffer.getvalue()


class _Forward(io.RawIOBase):
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: object) -> int:
        self.parts.append(bytes(part))  # type: ignore[call-overload]
        return len(self.parts[-1])


def zip_with_data_descriptors(files: Files) -> bytes:
    """A zip as made while it is sent: sizes and CRCs behind each member."""
    out = _Forward()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, body in files.items():
            archive.writestr(name, body)
    return b"".join(out.parts)


def zip64(files: Files) -> bytes:
    """A zip that states its sizes in zip64 fields."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(body)
    return buffer.getvalue()


def tarred(files: Files, mode: str = "w") -> bytes:
    """A tar, with the compression that `mode` says (`w:gz`, `w:bz2`)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


CONTAINERS: dict[str, Callable[[Files], bytes]] = {
    "zip-deflated": zipped,
    "zip-stored": lambda files: zipped(files, zipfile.ZIP_STORED),
    "zip-data-descriptors": zip_with_data_descriptors,
    "zip64": zip64,
    "tar": tarred,
    "tar-gz": lambda files: tarred(files, "w:gz"),
    "tar-bz2": lambda files: tarred(files, "w:bz2"),
    "zip-in-tar-gz": lambda files: tarred({"inner.zip": zipped(files)}, "w:gz"),
    "gz-files-in-zip": lambda files: zipped({f"{name}.gz": gzip.compress(body) for name, body in files.items()}),
}


def first(files: Files, suffix: str = ".dcm") -> bytes:
    """One file of a folder."""
    return next(body for name, body in files.items() if name.endswith(suffix))


def concatenated(names: Iterable[str]) -> Files:
    """Several folders in one upload."""
    return {f"{name}/{path}": body for name in names for path, body in folder(name).items()}


def bzipped(body: bytes) -> bytes:
    """One bz2 stream."""
    return bz2.compress(body)

"""What a file that is not DICOM looks like, for the sender's report (pure)."""

import re

# First bytes of formats that lie among DICOM files, each by its own specification
_MAGIC = (
    (b"%PDF-", "PDF"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"MATRIX7", "ECAT 7"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "OLE document"),
    (b"\x00\x05\x16\x07", "AppleDouble"),
    (b"\x00\x00\x00\x01Bud1", "macOS folder settings"),
    (b"MZ", "Windows executable"),
    (b"\x7fELF", "ELF executable"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"<?xml", "XML"),
    (b"\xef\xbb\xbf<?xml", "XML"),
    (b"<html", "HTML"),
    (b"<!DOCTYPE", "HTML"),
    (b"\xff\xfe", "text (UTF-16)"),
    (b"\xfe\xff", "text (UTF-16)"),
)
_NIFTI_AT_BYTES = 344  # NIfTI-1 header, field `magic`
_NIFTI = (b"ni1\0", b"n+1\0")
_LOOK_BYTES = 512
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def looks_like(head: bytes) -> str:
    """The name of the format that `head` begins, `text` for any text, `unknown format` if nothing is recognised."""
    if not head:
        return "empty file"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[_NIFTI_AT_BYTES : _NIFTI_AT_BYTES + 4] in _NIFTI:
        return "NIfTI"
    if _is_text(head[:_LOOK_BYTES]):
        return "JSON" if head.lstrip().startswith(b"{") else "text"
    return "unknown format"


def _is_text(head: bytes) -> bool:
    if _CONTROL.search(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a character cut at the end
    return True

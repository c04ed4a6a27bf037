"""What the extractor says of a XAR, in XNAT's words (import semantics §3.6)."""

from collections.abc import Sequence

from libs.common.errors import UserError
from services.extractor.listing import Upload
from services.extractor.members import Found
from services.extractor.unpack import DAMAGE

NOT_ARCHIVE = ("xar-not-archive", "Archive file is corrupt or not a valid archive file type. Send a zip or tar.")
NO_FILES = ("xar-no-files", "Archive file contains no files.")
_NOT_ARCHIVES = frozenset({*DAMAGE, "not-an-archive", "empty-upload"})


def refusal(error: UserError) -> UserError:
    """The refusal of an upload that cannot be listed; limits and unsafe members keep their own texts."""
    return UserError(*NOT_ARCHIVE) if error.code in _NOT_ARCHIVES else error


def check(upload: Upload, members: Sequence[Found]) -> None:
    """Raise `UserError` where the upload is a file by itself, or holds none that is wanted."""
    whole = {(source.key, source.size_bytes) for source in upload.sources}
    if any(not member.offset and (member.object_key, member.span_bytes) in whole for member in members):
        raise UserError(*NOT_ARCHIVE)
    if all(member.skipped for member in members):
        raise UserError(*NO_FILES)

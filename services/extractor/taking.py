"""Whether an upload is what its import handler takes (pure; import semantics §3.2-3.4)."""

from collections.abc import Sequence

from libs.common.errors import UserError
from libs.common.importers import Importer, Takes
from libs.common.requests import ImportRequest, Unparsable
from services.extractor.formats import ACCEPTED
from services.extractor.listing import Source, Upload
from services.extractor.members import Found, source_paths

_JUNK = "junk"
_WAY_OUT = ". Nothing of the upload is imported; Ignore-Unparsable=true skips such files."


def refusal(error: UserError, upload: Upload, importer: Importer) -> UserError:
    """The refusal of an upload that is neither an archive nor an image, in the words of who takes one object (§1.7)."""
    if importer.takes is not Takes.ONE_FILE or error.code not in {"not-an-archive", "empty-upload"}:
        return error
    name = source_paths([upload.sources[0].name])[0]
    return UserError("not-dicom", f"unable to read DICOM object {name}: {error.detail}")


def check(upload: Upload, members: Sequence[Found], request: ImportRequest, importer: Importer) -> None:
    """Raise `UserError` where the upload is not of the kind that is taken, or a member is missed that must not be.

    The texts name files, for their sender alone: they may be PHI.
    """
    bare = [source for source in upload.sources if _is_bare(source, members)]
    if importer.takes is Takes.ONE_FILE:
        _check_files(upload, bare)
    elif importer.takes is Takes.ARCHIVE and upload.sources == tuple(bare[:1]):
        raise UserError(
            "not-an-archive",
            f"Unsupported format: {importer.name} takes an archive ({ACCEPTED.partition(', or')[0]}); "
            "one object by itself goes to import-handler=gradual-DICOM.",
        )
    if (request.unparsable or importer.unparsable) is Unparsable.REFUSE:
        _check_skipped(members)


def _is_bare(source: Source, members: Sequence[Found]) -> bool:
    """Whether a source is itself a member: a file by itself, and no archive."""
    whole = (source.key, 0, source.size_bytes)
    return any((member.object_key, member.offset, member.span_bytes) == whole for member in members)


def _check_files(upload: Upload, bare: Sequence[Source]) -> None:
    for source in upload.sources:
        if source not in bare:
            name = source_paths([source.name])[0]
            raise UserError(
                "not-dicom",
                f"unable to read DICOM object {name}: it is an archive, which import-handler=DICOM-zip takes",
            )


def _check_skipped(members: Sequence[Found]) -> None:
    """What nobody can read is missed as any other file that is not DICOM; junk is not (architecture §6)."""
    for member in members:
        if member.skipped and not member.skipped.startswith(_JUNK):
            name = member.path.rsplit("/", 1)[-1]
            raise UserError("not-dicom", f"unable to read DICOM object {name}: {member.skipped}{_WAY_OUT}")

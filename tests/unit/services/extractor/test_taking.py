"""Which uploads an import handler takes."""

from uuid import UUID

import pytest

from libs.common.errors import UserError
from libs.common.facts import Encoding
from libs.common.importers import IMPORTERS
from libs.common.requests import ImportRequest, Unparsable
from services.extractor.listing import Source, Upload
from services.extractor.members import Found
from services.extractor.taking import check, refusal

GRADUAL, ZIP, SI = (IMPORTERS[name] for name in ("gradual-DICOM", "DICOM-zip", "SI"))
UPLOAD = Upload(UUID(int=1), (Source("s", "folder/one file.dcm", 100),))
BARE = Found(0, "one file.dcm", "s", 0, 100, 100, Encoding.PLAIN)


def inner(path: str = "a/1.dcm", skipped: str = "") -> Found:
    return Found(0, path, "s", 10, 50, 50, Encoding.ZIP_DEFLATED, skipped=skipped)


def refused(*members: Found, handler: str, unparsable: Unparsable | None = None) -> str:
    request = ImportRequest(handler=handler, unparsable=unparsable)
    with pytest.raises(UserError) as info:
        check(UPLOAD, members, request, IMPORTERS[handler])
    return info.value.detail


def test_one_object_is_what_gradual_takes() -> None:
    check(UPLOAD, [BARE], ImportRequest(handler="gradual-DICOM"), GRADUAL)
    detail = refused(inner(), handler="gradual-DICOM")
    assert detail.startswith("unable to read DICOM object one file.dcm")
    assert "DICOM-zip" in detail


def test_an_archive_is_what_dicom_zip_takes() -> None:
    check(UPLOAD, [inner()], ImportRequest(handler="DICOM-zip"), ZIP)
    assert "gradual-DICOM" in refused(BARE, handler="DICOM-zip")


def test_si_takes_both() -> None:
    for members in ([BARE], [inner()]):
        check(UPLOAD, members, ImportRequest(), SI)


@pytest.mark.parametrize("why", ["empty", "encrypted", "an archive that cannot be read: truncated"])
def test_what_cannot_be_read_refuses_the_whole_where_all_are_wanted(why: str) -> None:
    detail = refused(inner(), inner("b/x.dcm", why), handler="DICOM-zip")
    assert detail.startswith(f"unable to read DICOM object x.dcm: {why}")
    skips = ImportRequest(handler="DICOM-zip", unparsable=Unparsable.SKIP)
    check(UPLOAD, [inner(), inner("b/x.dcm", why)], skips, ZIP)
    check(UPLOAD, [inner(), inner("b/x.dcm", why)], ImportRequest(), SI)


def test_junk_is_always_skipped() -> None:
    junk = inner("__MACOSX/._1.dcm", "junk: a folder dropping of macOS")
    check(UPLOAD, [inner(), junk], ImportRequest(handler="DICOM-zip"), ZIP)


def test_what_is_neither_archive_nor_image_is_no_object_for_gradual() -> None:
    error = UserError("not-an-archive", "the upload looks like text")
    assert refusal(error, UPLOAD, GRADUAL).detail.startswith("unable to read DICOM object one file.dcm: ")
    assert refusal(error, UPLOAD, ZIP) is error

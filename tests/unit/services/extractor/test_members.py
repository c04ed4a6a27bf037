import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import UserError
from services.extractor.members import (
    EMPTY,
    NAME_LENGTH,
    may_be_archive,
    member_path,
    packed_name,
    skip_reason,
    source_paths,
)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.dcm", "a.dcm"),
        ("./a/b.dcm", "a/b.dcm"),
        ("a//b/./c", "a/b/c"),
        ("folder\\scan 1\\a.dcm", "folder/scan 1/a.dcm"),
        ("a/..b/c..dcm", "a/..b/c..dcm"),
        ("...", "..."),
        ("a:b.dcm/c", None),
        ("Müller/ä.dcm", "Müller/ä.dcm"),
        ("12:30/a.dcm", "12:30/a.dcm"),
        ("folder/", "folder"),
        ("./", ""),
        ("", ""),
        ("../a", None),
        ("a/../../b", None),
        ("a/..", None),
        ("..", None),
        ("/etc/passwd", None),
        ("//server/share", None),
        ("\\\\server\\share", None),
        ("\\a", None),
        ("..\\a", None),
        ("a\\..\\..\\b", None),
        ("a/..\\b", None),
        ("C:\\a", None),
        ("c:/a", None),
        ("C:a", None),
        ("a\x00.dcm", None),
        ("a" * (NAME_LENGTH + 1), None),
    ],
)
def test_names_that_would_leave_their_folder_are_refused_without_being_named(name: str, path: str | None) -> None:
    if path is not None:
        assert member_path(name, 17) == path
        return
    with pytest.raises(UserError) as refused:
        member_path(name, 17)
    assert refused.value.code == "unsafe-member"
    assert refused.value.detail.startswith("member 17 ")
    assert name not in refused.value.detail


@given(st.text(st.sampled_from("./\\:Ca\x00"), max_size=12))
def test_a_path_never_leaves_its_folder(name: str) -> None:
    try:
        path = member_path(name, 1)
    except UserError:
        return
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/")) or path == ""


@pytest.mark.parametrize(
    ("path", "size_bytes", "reason"),
    [
        ("a.dcm", 1, ""),
        ("DICOMDIR", 1, ""),
        ("a.dcm", 0, EMPTY),
        ("__MACOSX/x/a.dcm", 5, "junk: a folder dropping of macOS"),
        ("a/__MACOSX/b", 0, "junk: a folder dropping of macOS"),
        ("a/._b.dcm", 5, "junk: a folder dropping of macOS"),
        ("__MACOSX", 5, ""),
        ("a/.DS_Store", 5, "junk: folder settings of macOS"),
        ("a/thumbs.DB", 5, "junk: thumbnails of Windows"),
        ("desktop.ini", 5, "junk: folder settings of Windows"),
        ("my desktop.ini", 5, ""),
    ],
)
def test_junk_and_empty_files_are_skipped_with_a_reason(path: str, size_bytes: int, reason: str) -> None:
    assert skip_reason(path, size_bytes) == reason


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *((f"a/b{suffix}", True) for suffix in (".zip", ".ZIP", ".tar", ".tgz", ".tar.gz", ".dcm.gz", ".bz2", ".tbz2")),
        ("x.xar", True),
        ("a.zip/b.dcm", False),
        ("zip", False),
        ("a.zipped", False),
    ],
)
def test_only_names_of_archives_are_looked_into(path: str, expected: bool) -> None:
    assert may_be_archive(path) is expected


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b.dcm.gz", "b.dcm"), ("b.BZ2", "b"), ("b.tgz", "b"), (".gz", "content"), ("plain", "plain")],
)
def test_the_one_file_in_a_gzip_is_named_after_it(path: str, name: str) -> None:
    assert packed_name(path) == name


@pytest.mark.parametrize(
    ("source_name", "name"),
    [
        ("a.dcm", "a.dcm"),
        ("C:\\x\\a.dcm", "a.dcm"),
        ("../../a", "a"),
        ("..", "upload"),
        ("", "upload"),
        ("a/", "upload"),
        ("a\x00b", "ab"),
    ],
)
def test_an_upload_of_one_file_gets_a_safe_name(source_name: str, name: str) -> None:
    assert source_paths([source_name]) == [name]


def test_files_of_one_name_are_told_apart() -> None:
    sent = ["a.zip", "b/a.zip", "a.zip_1", "", "..", "b.zip"]
    assert source_paths(sent) == ["a.zip", "a.zip_1", "a.zip_1_1", "upload", "upload_1", "b.zip"]

"""Object keys."""

from uuid import UUID

import pytest

from services.archiver.layout import folder_of, member_key, series_folder

IMPORT = UUID("0123456789abcdef0123456789abcdef")


def test_a_key_derives_from_import_series_and_member() -> None:
    folder = series_folder("4", "1.2.3")
    key = member_key("sessions/P/E1/", IMPORT, folder, 12, "a/b/0001.dcm")
    assert key == f"sessions/P/E1/0123456789abcdef/{folder}/000012_0001.dcm"
    assert folder_of(key) == f"sessions/P/E1/0123456789abcdef/{folder}/"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("DOE^JOHN Q.dcm", "000001_DOE_JOHN_Q.dcm"),
        ("a/..", "000001_.."),
        ("a/x\\y\n", "000001_x_y_"),
        ("a/" + "x" * 200 + ".dcm", "000001_" + "x" * 96 + ".dcm"),
        ("ä", "000001__"),
    ],
)
def test_names_in_keys_are_plain_and_short(path: str, name: str) -> None:
    assert member_key("", IMPORT, "s", 1, path).rsplit("/", 1)[-1] == name


@pytest.mark.parametrize(
    ("number", "start"), [("4", "4_"), ("", "NA_"), (None, "NA_"), ("+4/5", "_4_5_"), ("9" * 30, "9" * 16 + "_")]
)
def test_a_series_folder_starts_with_its_number(number: str | None, start: str) -> None:
    folder = series_folder(number, "1.2.3")
    assert folder.startswith(start)
    assert len(folder) == len(start) + 8
    assert folder != series_folder(number, "1.2.4")

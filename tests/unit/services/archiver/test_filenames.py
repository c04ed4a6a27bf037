"""File names."""

import pytest

from services.archiver.filenames import NAME_LENGTH, file_name, free_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b/1.dcm", "1.dcm"),
        ("Jérôme 1.dcm", "Jérôme 1.dcm"),
        ("a/b\\c", "b_c"),
        ("a/\x00b\n\x7f", "_b__"),
        ("a/..", "_"),
        ("a/.", "_"),
        ("a/", "_"),
        ("x" * 300 + ".dcm", "x" * (NAME_LENGTH - 4) + ".dcm"),
    ],
)
def test_the_senders_name_stays_but_for_what_a_path_cannot_have(path: str, name: str) -> None:
    assert file_name(path) == name


@pytest.mark.parametrize(
    ("used", "name"), [(set(), "1.dcm"), ({"1.dcm"}, "1.dcm_1"), ({"1.dcm", "1.dcm_1"}, "1.dcm_2")]
)
def test_a_name_that_is_taken_gets_the_first_free_suffix(used: set[str], name: str) -> None:
    assert free_name("1.dcm", used) == name

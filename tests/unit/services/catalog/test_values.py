"""DICOM text as XNAT's XML states it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog import values
from services.catalog.values import Echo, Matrix, VoxelSize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20240130", "2024-01-30"),
        ("2024.01.30", "2024-01-30"),
        (" 20240130 ", "2024-01-30"),
        ("20240230", None),
        ("00000000", None),
        ("2024", None),
        ("", None),
        (None, None),
    ],
)
def test_dates(text: str | None, expected: str | None) -> None:
    assert values.xml_date(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("091244", "09:12:44"),
        ("091244.123456", "09:12:44"),
        ("0912", "09:12:00"),
        ("09", "09:00:00"),
        ("09:12:44", "09:12:44"),
        ("240000", None),
        ("096000", None),
        ("noon", None),
        (None, None),
    ],
)
def test_times(text: str | None, expected: str | None) -> None:
    assert values.xml_time(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8.6", "8.6"),
        ("20", "20.0"),
        ("+1.5E1 ", "15.0"),
        ("20\\30", None),
        ("1_0", None),
        ("nan", None),
        ("1e999", None),
        (None, None),
    ],
)
def test_decimals_are_written_as_java_writes_them(text: str | None, expected: str | None) -> None:
    assert values.decimal(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("7", 7), ("+07", 7), ("-1", -1), ("1.0", None), ("٣", None), ("", None)]
)
def test_integers(text: str, expected: int | None) -> None:
    assert values.integer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", "3.0"),
        ("2.89362", "3.0"),
        ("1.494", "1.5"),
        ("0.2", "0.0"),
        ("30000", "3.0"),
        ("15000", "1.5"),
        ("499", "499.0"),
        ("500", "0.0"),
        ("-1", None),
        ("x", None),
        (None, None),
    ],
)
def test_field_strength_is_tesla_to_the_nearest_half(text: str | None, expected: str | None) -> None:
    assert values.field_strength(text) == expected


def test_voxel_size_keeps_the_order_of_pixel_spacing() -> None:
    assert values.voxel_size({"PixelSpacing": "0.5\\1", "SliceThickness": "3"}) == VoxelSize("0.5", "1.0", "3.0")
    assert values.voxel_size({"PixelSpacing": "0.5\\1", "SliceThickness": None}) == VoxelSize("0.5", "1.0", None)
    assert values.voxel_size({"PixelSpacing": "0.5"}) is None
    assert values.voxel_size({}) is None


def test_matrix_needs_both_sides() -> None:
    assert values.matrix({"Rows": "192", "Columns": "256"}) == Matrix(columns=256, rows=192)
    assert values.matrix({"Rows": "192", "Columns": None}) is None


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"EchoTime": "4"}, [Echo("1", "4.0")]),
        ({"EchoTime": "4", "EchoTimes": "1=4"}, [Echo("1", "4.0")]),
        ({"EchoTimes": "10=9,2=7.38,1=4.92"}, [Echo("1", "4.92"), Echo("2", "7.38"), Echo("10", "9.0")]),
        ({"EchoTimes": "=7.38,=4.92"}, [Echo("1", "4.92"), Echo("2", "7.38")]),
        ({"EchoTimes": "1=7.38,1=4.92"}, [Echo("1", "4.92"), Echo("2", "7.38")]),
        ({"EchoTimes": "1=x"}, []),
        ({"EchoTime": None}, []),
        ({}, []),
    ],
)
def test_echoes_come_in_order_each_with_its_own_number(attributes: dict[str, str | None], expected: list[Echo]) -> None:
    assert values.echoes(attributes) == expected


@given(st.text() | st.text(alphabet="0123456789.\\-+:= ,e"))
def test_no_text_is_too_odd(text: str) -> None:
    keywords = ("PixelSpacing", "SliceThickness", "Rows", "Columns", "EchoTimes", "EchoTime")
    attributes: dict[str, str | None] = dict.fromkeys(keywords, text)
    for read in (values.xml_date, values.xml_time, values.decimal, values.integer, values.field_strength):
        read(text)  # type: ignore[operator]
    for look in (values.voxel_size, values.matrix, values.echoes):
        look(attributes)  # type: ignore[operator]

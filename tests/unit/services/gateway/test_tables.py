"""XNAT's answer shapes, byte for byte (clients §2)."""

from datetime import UTC, datetime

import pytest

from services.gateway.tables import Item, dicom_date, dicom_time, item_json, moment, table_csv, table_json


def test_a_table_as_json() -> None:
    expected = b'{"ResultSet":{"Result":[{"ID":"P1","name":"P1"}],"totalRecords":"1"}}'
    assert table_json([{"ID": "P1", "name": "P1"}]) == expected


def test_a_table_without_rows() -> None:
    assert table_json([]) == b'{"ResultSet":{"Result":[],"totalRecords":"0"}}'
    assert table_csv(["ID", "name"], []) == b"ID,name\n"


def test_a_table_as_csv_quotes_only_where_needed() -> None:
    rows = [{"ID": "P1", "name": 'a,"b"'}, {"ID": "é", "name": ""}]
    assert table_csv(["ID", "name"], rows) == 'ID,name\nP1,"a,""b"""\né,\n'.encode()


def test_an_item() -> None:
    scan = Item("xnat:mrScanData", {"ID": "1", "note": ""})
    session = Item("xnat:mrSessionData", {"ID": "XNAT_E00001"}, {"scans/scan": [scan]})
    assert item_json(session) == (
        b'{"items":[{"meta":{"isHistory":false,"xsi:type":"xnat:mrSessionData"},"data_fields":{"ID":"XNAT_E00001"},'
        b'"children":[{"field":"scans/scan","items":[{"meta":{"isHistory":false,"xsi:type":"xnat:mrScanData"},'
        b'"data_fields":{"ID":"1"},"children":[]}]}]}]}'
    )


def test_a_moment_has_a_fraction() -> None:
    assert moment(datetime(2026, 1, 2, 10, 11, 13, 1_999, UTC)) == "2026-01-02 10:11:13.001"
    assert moment(None) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20240130", "2024-01-30"), ("2024.01.30", "2024-01-30"), ("20241301", ""), ("", ""), (None, ""), ("x", "")],
)
def test_a_date(text: str | None, expected: str) -> None:
    assert dicom_date(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("091244.123", "09:12:44"), ("0912", "09:12:00"), ("09", "09:00:00"), ("256000", ""), (None, ""), ("x", "")],
)
def test_a_time(text: str | None, expected: str) -> None:
    assert dicom_time(text) == expected

"""XNAT's answer shapes: tables as JSON and CSV, items, and how values look in them (pure; clients §2)."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum

from lxml import etree

from libs.common.xml_characters import ILLEGAL

Row = Mapping[str, str]
"""One row: column -> text. Numbers and booleans are text too; empty is ""."""

_DATE = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.\d{0,6})?)?)?")


class TableFormat(StrEnum):
    """How a table is written."""

    JSON = "json"
    CSV = "csv"
    XML = "xml"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing with the fields of its schema, and what lies below it: field -> items."""

    xsi_type: str
    fields: Row
    children: Mapping[str, Sequence["Item"]] = field(default_factory=dict)


def table_json(rows: Sequence[Row]) -> bytes:
    """`{"ResultSet":{"Result":[…],"totalRecords":"…"}}`."""
    table = {"ResultSet": {"Result": rows, "totalRecords": str(len(rows))}}
    return json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()


def table_csv(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """A header line, commas, LF at the end of a line, quotes only where needed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(column, "") for column in columns] for row in rows)
    return text.getvalue().encode()


def table_xml(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    """XNAT's table as XML: `results` with `columns/column` and `rows/row/cell`; what XML cannot hold becomes U+FFFD."""
    result = etree.Element("ResultSet", totalRecords=str(len(rows)))
    results = etree.SubElement(result, "results")
    head = etree.SubElement(results, "columns")
    for column in columns:
        etree.SubElement(head, "column").text = column
    body = etree.SubElement(results, "rows")
    for row in rows:
        line = etree.SubElement(body, "row")
        for column in columns:
            etree.SubElement(line, "cell").text = ILLEGAL.sub("\ufffd", row.get(column, ""))
    return etree.tostring(result, encoding="UTF-8", xml_declaration=True)


def item_json(*items: Item) -> bytes:
    """`{"items":[…]}`; fields without a value are left out."""
    return json.dumps({"items": [_item(item) for item in items]}, ensure_ascii=False, separators=(",", ":")).encode()


def _item(item: Item) -> dict[str, object]:
    return {
        "meta": {"isHistory": False, "xsi:type": item.xsi_type},
        "data_fields": {name: value for name, value in item.fields.items() if value},
        "children": [
            {"field": name, "items": [_item(child) for child in children]} for name, children in item.children.items()
        ],
    }


def moment(at: datetime | None) -> str:
    """A time with its fraction, in UTC: `2026-01-02 10:11:12.345`."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at else ""


def dicom_date(text: str | None) -> str:
    """A DA value (PS3.5 §6.2) as `YYYY-MM-DD`, "" where it is none."""
    match = _DATE.fullmatch((text or "").strip())
    if match is None:
        return ""
    try:
        return date(*map(int, match.groups())).isoformat()
    except ValueError:
        return ""


def dicom_time(text: str | None) -> str:
    """A TM value (PS3.5 §6.2) as `HH:MM:SS`, "" where it is none."""
    match = _TIME.fullmatch((text or "").strip())
    if match is None:
        return ""
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}" if hours < 24 and minutes < 60 and seconds < 60 else ""

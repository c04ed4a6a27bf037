"""How a read is answered: which shape is asked for, and a response in it."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.responses import Response

from libs.common.errors import UserError
from services.gateway.forms import FIELDS, Part, read_field, read_form
from services.gateway.tables import Item, Row, TableFormat, item_json, table_csv, table_json, table_xml

_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def asked_of(request: Request) -> dict[str, str]:
    """The query's parameters; the last of a name."""
    return dict(request.query_params.multi_items())


async def read_document(request: Request, max_bytes: int = 1 << 20) -> bytes:
    """The body of a request that carries a short document. Raises `UserError` where it is longer."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise UserError("limit-document", f"The document is longer than {max_bytes} bytes.")
    return bytes(body)


async def read_values(request: Request) -> list[tuple[str, str]]:
    """The fields of a short body (urlencoded, a form, or a JSON object), then those of the query, which beat them.

    Raises:
        UserError: the body is malformed or too long, or holds a character that no text has.
    """
    body = await read_document(request)
    fields = [*await _read_fields(body, request.headers.get("content-type", "")), *request.query_params.multi_items()]
    for name, value in fields:
        if _NO_TEXT.search(name + value):
            shown = _NO_TEXT.sub("", name)[:64]
            raise UserError("parameter-invalid", f"{shown} holds a character that no text has.")
    return fields


async def _read_fields(body: bytes, content_type: str) -> list[tuple[str, str]]:
    match content_type.split(";", maxsplit=1)[0].strip().lower():
        case "application/x-www-form-urlencoded":
            return read_urlencoded(body)
        case "multipart/form-data":
            pieces = read_form(_at_once(body), content_type)
            return [
                (piece.name, await read_field(pieces, piece.name))
                async for piece in pieces
                if isinstance(piece, Part) and piece.filename is None
            ]
        case "application/json" if body.strip():
            return _read_object(body)
    return []


def read_urlencoded(body: bytes) -> list[tuple[str, str]]:
    """The fields of an urlencoded body. Raises `UserError` where they are too many."""
    try:
        return parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError as error:
        raise UserError("form-malformed", f"The form has more than {FIELDS} fields.") from error


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _read_object(body: bytes) -> list[tuple[str, str]]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UserError("document-malformed", "The body is not JSON.") from error
    if not isinstance(document, dict):
        raise UserError("document-malformed", "The JSON body must be an object of parameters.")
    return [(name, _text_of(value)) for name, value in document.items() if not isinstance(value, dict | list)]


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def table(request: Request, columns: Sequence[str], rows: Sequence[Row]) -> Response:
    """A table, as JSON unless `format` is csv or xml."""
    match request.query_params.get("format", "").lower():
        case TableFormat.CSV:
            return Response(table_csv(columns, rows), headers={"Content-Type": "text/csv; charset=utf-8"})
        case TableFormat.XML:
            return Response(table_xml(columns, rows), headers={"Content-Type": "text/xml; charset=utf-8"})
    return Response(table_json(rows), media_type="application/json")


def item(*items: Item) -> Response:
    """An item of XNAT's, as JSON."""
    return Response(item_json(*items), media_type="application/json")


def wants_xml(request: Request, *, default: bool) -> bool:
    """Whether a document is wanted rather than JSON: by `format`, else by what `Accept` names first."""
    if asked := request.query_params.get("format", "").lower():
        return asked == "xml"
    first = request.headers.get("accept", "").split(",", 1)[0].split(";", 1)[0].strip().lower()
    if first.endswith("/xml"):
        return True
    return default and first != "application/json"

"""How a read is answered: which shape is asked for, and a response in it."""

from collections.abc import Sequence

from fastapi import Request
from starlette.responses import Response

from libs.common.errors import UserError
from services.gateway.tables import Item, Row, item_json, table_csv, table_json


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


def table(request: Request, columns: Sequence[str], rows: Sequence[Row]) -> Response:
    """A table, as JSON unless `format=csv`."""
    if request.query_params.get("format", "").lower() == "csv":
        return Response(table_csv(columns, rows), headers={"Content-Type": "text/csv; charset=utf-8"})
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

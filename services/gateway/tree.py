"""Paths: `/data/X`, `/data/archive/X` and `/REST/X` are one tree (clients §1.1)."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common.errors import UserError
from services.gateway.answers import refusal

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]|(^|/)\.\.?(/|$)")


def canonical(path: str) -> str:
    """The one path of the tree that `path` means; no slash at its end."""
    path = re.sub(r"^/REST(?=/|$)", "/data", path)
    path = re.sub(r"^/data/archive(?=/)", "/data", path)
    return path.rstrip("/") or "/"


class Tree:
    """ASGI middleware: rewrites the path once, so that no route is written twice; refuses paths that nothing has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _UNSAFE.search(scope["path"]) or b"%00" in scope["query_string"]:
            error = UserError("path-invalid", "The address holds a character or a step that no resource has.")
            await refusal(Headers(scope=scope), error)(scope, receive, send)
            return
        await self._app({**scope, "path": canonical(scope["path"])}, receive, send)

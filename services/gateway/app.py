"""The web application: its routes, and how failures become answers."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response

from libs.common.errors import ScandockError, UserError
from services.gateway.answers import refusal
from services.gateway.authentication import Authentication
from services.gateway.draining import Draining
from services.gateway.parts import Parts
from services.gateway.routes import (
    archive,
    cache,
    config,
    contents,
    direct,
    health,
    imports,
    listings,
    logins,
    prearchive,
    progress,
    projects,
    refresh,
    site,
    status,
    workflows,
)
from services.gateway.tree import Tree

ROUTERS = (
    health.router,
    logins.router,
    imports.router,
    status.router,
    listings.router,
    projects.router,
    prearchive.router,
    archive.router,
    refresh.router,
    direct.router,
    progress.router,
    workflows.router,
    cache.router,
    site.router,
    config.router,
)


def build(parts: Parts) -> FastAPI:
    """The application over these adapters."""
    app = FastAPI(title="Scandock", version="1", description="XNAT's import service and what it needs around it.")
    app.router.redirect_slashes = False
    app.state.parts = parts
    for router in ROUTERS:
        app.include_router(router)
    for number, prefix in enumerate(contents.ARCHIVED):
        app.include_router(contents.router, prefix=prefix, tags=["archive"], include_in_schema=number == 0)
    app.include_router(contents.router, prefix=contents.PREARCHIVED, tags=["prearchive"])
    app.add_middleware(Authentication, accounts=parts.accounts)
    app.add_middleware(Tree)
    app.add_middleware(Draining)  # the outermost
    app.add_exception_handler(ScandockError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    app.add_exception_handler(ClientDisconnect, _nobody_reads)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ScandockError)  # noqa: S101 - registered for it
    return refusal(request.headers, error)


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return PlainTextResponse(str(error.detail), error.status_code, error.headers)


async def _refuse_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    found = {str(each["loc"][-1]): str(each["msg"]) for each in error.errors()}
    text = "; ".join(f"{name}: {found[name]}" for name in sorted(found))
    return refusal(request.headers, UserError("parameter-invalid", f"{text}."))


async def _nobody_reads(request: Request, error: Exception) -> Response:
    return Response(status_code=499)

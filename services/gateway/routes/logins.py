"""Logging in and out, as XNAT's clients do it (clients §1.3, §3.1, §4.1)."""

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from libs.common.errors import UserError
from services.gateway.authentication import Caller
from services.gateway.parts import CallerOf, PartsOf
from services.gateway.uploads import read_fields

router = APIRouter(tags=["login"])


@router.get("/data/JSESSION", summary="Your session id; logs in where there is none")
@router.post("/data/JSESSION", summary="Log in: the body is the session id alone")
async def open_login(parts: PartsOf, caller: CallerOf) -> Response:
    if not caller.is_told:  # one of his own, that nobody else can end
        caller.token = await parts.accounts.open(caller.user.login)
    return PlainTextResponse(caller.token)


@router.delete("/data/JSESSION", summary="Log out")
async def close_login(parts: PartsOf, caller: CallerOf) -> Response:
    if caller.is_told:
        await parts.accounts.close(caller.token)
    caller.is_ended = True
    return PlainTextResponse("")


@router.post("/data/services/auth", include_in_schema=False)
@router.put("/data/services/auth", summary="Log in with the form's username, password")
async def log_in(request: Request, parts: PartsOf) -> Response:
    form = dict(await read_fields(request.stream()))
    caller: Caller | None = request.state.caller
    if "username" in form:
        user = await parts.accounts.by_password(form["username"], form.get("password", ""))
    else:
        user = caller.user if caller else None
    if user is None:
        raise UserError("unauthenticated", "The user name or the password is wrong.")
    token = await parts.accounts.open(user.login)
    request.state.caller = Caller(user, token)
    return PlainTextResponse(token)


@router.get("/data/auth", summary="Who is logged in")
async def who(caller: CallerOf) -> Response:
    return PlainTextResponse(f"User '{caller.user.login}' is logged in")

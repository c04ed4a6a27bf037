"""The site and its users, as clients look at them when they connect (clients §3.1, §4.1)."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, PlainTextResponse, Response

from libs.cli.accounts import Account, NewUser, add_user, list_users
from libs.common.access import User
from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.preferences import Value
from services.gateway.parts import PartsOf, UserOf
from services.gateway.routes.shapes import read_document
from services.gateway.site_config import read_text, read_texts, read_values, write_values

router = APIRouter(tags=["site"])
XNAT_VERSION = "1.9.2"
"""The XNAT whose behaviour this is; clients choose by it what they may use."""


class UserBody(BaseModel):
    """A user as XNAT's `POST /xapi/users` takes him."""

    model_config = ConfigDict(extra="ignore")

    username: str
    password: str = Field(repr=False)
    first_name: str = Field(default="", alias="firstName")
    last_name: str = Field(default="", alias="lastName")
    email: str = ""


@router.get("/xapi/siteConfig/buildInfo", summary="Which XNAT this behaves like")
async def build_info() -> Response:
    return JSONResponse({"version": XNAT_VERSION, "isNonRelease": "false", "product": "Scandock"})


@router.get("/xapi/siteConfig/buildInfo/version", summary="Which XNAT this behaves like, as text")
async def version() -> Response:
    return PlainTextResponse(XNAT_VERSION)


@router.get("/xapi/siteConfig", summary="The site's preferences")
async def get_preferences(parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        return JSONResponse(await read_values(connection))


_MAP = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}
_VALUE = {
    "requestBody": {"content": {"text/plain": {"schema": {"type": "string"}}, "application/json": {"schema": {}}}}
}


@router.post("/xapi/siteConfig", summary="Set preferences, all or none; for administrators", openapi_extra=_MAP)
async def post_preferences(request: Request, parts: PartsOf, user: UserOf) -> Response:
    _require_admin(user)
    values = read_texts(await read_document(request))
    async with transaction(parts.engine) as connection:
        await write_values(connection, user, values)
    return Response()


@router.get("/xapi/siteConfig/values/{names}", summary="Some preferences, by names with commas between")
async def get_some_preferences(parts: PartsOf, user: UserOf, names: str) -> Response:
    async with transaction(parts.engine) as connection:
        values = await read_values(connection)
    return JSONResponse({name: _known(values, name) for name in names.split(",")})


@router.get("/xapi/siteConfig/{name}", summary="One preference: text as it stands, numbers and booleans as JSON")
async def get_preference(parts: PartsOf, user: UserOf, name: str) -> Response:
    async with transaction(parts.engine) as connection:
        value = _known(await read_values(connection), name)
    return PlainTextResponse(value) if isinstance(value, str) else JSONResponse(value)


@router.put("/xapi/siteConfig/{name}", summary="Set one preference; for administrators", openapi_extra=_VALUE)
@router.post("/xapi/siteConfig/{name}", summary="Set one preference; for administrators", openapi_extra=_VALUE)
async def put_preference(request: Request, parts: PartsOf, user: UserOf, name: str) -> Response:
    _require_admin(user)
    text = read_text(name, await read_document(request))
    async with transaction(parts.engine) as connection:
        await write_values(connection, user, {name: text})
    return Response()


def _known(values: dict[str, Value], name: str) -> Value:
    if name not in values:
        raise UserError("not-found", f"There is no site preference {name}. There are: {', '.join(values)}.")
    return values[name]


@router.get("/xapi/users/username", summary="Your user name")
async def user_name(user: UserOf) -> Response:
    return PlainTextResponse(user.login)


@router.get("/xapi/users", summary="All user names; for administrators")
async def user_names(parts: PartsOf, user: UserOf) -> Response:
    _require_admin(user)
    return JSONResponse([each.login for each in await list_users(parts.engine)])


@router.get("/xapi/users/{login}", summary="A user; yourself, or for administrators anyone")
async def get_user(parts: PartsOf, user: UserOf, login: str) -> Response:
    if login != user.login:
        _require_admin(user)
    found = await list_users(parts.engine, login)
    if not found:
        raise UserError("not-found", "There is no such user.")
    return JSONResponse(_told(found[0]))


_API = {"requestBody": {"content": {"application/json": {"schema": UserBody.model_json_schema()}}}}


@router.post("/xapi/users", summary="Make a user; for administrators", openapi_extra=_API)
async def post_user(request: Request, parts: PartsOf, user: UserOf) -> Response:
    _require_admin(user)
    try:
        body = UserBody.model_validate_json(await read_document(request))
    except ValidationError as error:
        names = ", ".join(sorted({str(part) for each in error.errors() for part in each["loc"]}))
        raise UserError("document-malformed", f"The user's JSON is malformed: {names or 'not JSON'}.") from error
    new = NewUser(body.username, body.password, body.first_name, body.last_name, body.email)
    await add_user(parts.engine, new)
    (made,) = await list_users(parts.engine, body.username)
    return JSONResponse(_told(made), 201)


def _told(account: Account) -> dict[str, object]:
    return {
        "username": account.login,
        "firstName": account.first_name,
        "lastName": account.last_name,
        "email": account.email,
        "enabled": account.enabled,
        "admin": account.admin,
    }


def _require_admin(user: User) -> None:
    if not user.admin:
        raise UserError("forbidden", "This is for administrators.")

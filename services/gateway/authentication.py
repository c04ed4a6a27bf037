"""Every request has a caller, or is refused before its body is read: HTTP Basic or the cookie of a login."""

import base64
import binascii
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.access import User
from libs.common.errors import ScandockError, UserError
from services.gateway.accounts import Accounts
from services.gateway.answers import refusal

COOKIE = "JSESSIONID"
EXPIRATION_COOKIE = "SESSION_EXPIRATION_TIME"
OPEN_PATHS = frozenset(
    {"/", "/healthz", "/readyz", "/metrics", "/docs", "/redoc", "/openapi.json", "/data/services/auth"}
)


@dataclass(slots=True)
class Caller:
    """Who asks, and the login that the answer will tell him of.

    `token` is "" where there is none; `is_told`: the client sent it, so it knows it already.
    """

    user: User
    token: str = ""
    is_told: bool = False
    is_ended: bool = False


class Authentication:
    """ASGI middleware: puts the `Caller` into the request's state, and cookies on the answer (clients §1.3)."""

    def __init__(self, app: ASGIApp, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            caller = await self._identify(headers)
        except ScandockError as error:
            await refusal(headers, error)(scope, receive, send)
            return
        if caller is None and (scope["path"] not in OPEN_PATHS or "authorization" in headers):
            unknown = UserError("unauthenticated", "Log in with a user name and a password.")
            await refusal(headers, unknown)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, self._with_cookies(scope, send))

    async def _identify(self, headers: Headers) -> Caller | None:
        basic = read_basic(headers.get("authorization", ""))
        token = read_token(headers.get("cookie", ""))
        owner = await self._accounts.by_token(token) if token else None
        if "authorization" not in headers:
            return Caller(owner, token, is_told=True) if owner else None
        user = await self._accounts.by_password(*basic) if basic else None
        if user is None or basic is None:
            return None
        if owner and owner.login == user.login:
            return Caller(user, token, is_told=True)
        return Caller(user, await self._accounts.open_shared(*basic))

    def _with_cookies(self, scope: Scope, send: Send) -> Send:
        async def sending(message: Message) -> None:
            caller: Caller | None = scope["state"].get("caller")
            if message["type"] == "http.response.start" and caller is not None and caller.token:
                self._set_cookies(MutableHeaders(scope=message), caller, scope["scheme"] == "https")
            await send(message)

        return sending

    def _set_cookies(self, headers: MutableHeaders, caller: Caller, is_secure: bool) -> None:
        flags = "; Path=/; SameSite=Lax" + ("; Secure" if is_secure else "")
        if caller.is_ended:
            headers.append("set-cookie", f"{COOKIE}=; Max-Age=0; HttpOnly{flags}")
            headers.append("set-cookie", f"{EXPIRATION_COOKIE}=; Max-Age=0{flags}")
            return
        if not caller.is_told:
            headers.append("set-cookie", f"{COOKIE}={caller.token}; HttpOnly{flags}")
        now, timeout = int(time.time() * 1000), int(self._accounts.timeout.total_seconds() * 1000)
        # quotes and comma as XNAT writes them, which http.cookies would escape
        headers.append("set-cookie", f'{EXPIRATION_COOKIE}="{now},{timeout}"{flags}')


def read_basic(header: str) -> tuple[str, str] | None:
    """User and password of an Authorization header (RFC 7617), or None where it is of another kind or malformed."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        login, colon, password = raw.decode().partition(":")
    except UnicodeDecodeError:
        login, colon, password = raw.decode("latin-1").partition(":")
    return (login, password) if colon else None


def read_token(header: str) -> str:
    """The token in a Cookie header, or "" where there is none."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value.strip('"')
    return ""

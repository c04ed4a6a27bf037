"""What the routes of one gateway process work with, and how they get at it."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.access import User
from libs.common.broker import Broker
from libs.common.errors import UserError
from libs.common.storage import ObjectStore
from services.gateway.accounts import Accounts
from services.gateway.authentication import Caller
from services.gateway.readiness import Readiness
from services.gateway.settings import Settings
from services.gateway.uploads import Budget
from services.gateway.waiting import Waiting


@dataclass(frozen=True)
class Parts:
    """The adapters of this process."""

    settings: Settings
    engine: AsyncEngine
    store: ObjectStore
    broker: Broker
    accounts: Accounts
    waiting: Waiting
    readiness: Readiness
    budget: Budget


async def _parts(request: Request) -> Parts:  # async, or FastAPI would call it in a thread
    return cast(Parts, request.app.state.parts)


async def _caller(request: Request) -> Caller:
    caller: Caller | None = request.state.caller
    if caller is None:
        raise UserError("unauthenticated", "Log in with a user name and a password.")
    return caller


async def _user(request: Request) -> User:
    return (await _caller(request)).user


PartsOf = Annotated[Parts, Depends(_parts)]
CallerOf = Annotated[Caller, Depends(_caller)]
UserOf = Annotated[User, Depends(_user)]

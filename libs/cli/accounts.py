"""Users, their passwords and their places in projects, as `scandock` and the gateway change them."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from argon2 import PasswordHasher
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.access import Role
from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.schema import logins, memberships, projects, users

PASSWORD_LENGTH = 8
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be made."""

    login: str
    password: str = field(repr=False)
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """A user as others may see him."""

    login: str
    first_name: str
    last_name: str
    email: str
    enabled: bool
    admin: bool


async def add_user(engine: AsyncEngine, new: NewUser) -> None:
    """Make a user. Raises `UserError` where there is one of that name already, or name or password will not do."""
    if not _LOGIN.fullmatch(new.login):
        raise UserError("user-invalid", "A user name has letters, digits and _.@-, at most 64.")
    row = insert(users).values(
        login=new.login,
        password_hash=await _hash(new.password),
        first_name=new.first_name,
        last_name=new.last_name,
        email=new.email,
        admin=new.admin,
    )
    async with transaction(engine) as connection:
        made = await connection.execute(row.on_conflict_do_nothing().returning(users.c.login))
        if made.one_or_none() is None:
            raise UserError("conflict-user", f"There is a user {new.login} already.")


async def list_users(engine: AsyncEngine, login: str | None = None) -> Sequence[Account]:
    """All users by name, or the one of this name."""
    columns = users.c
    query = sa.select(
        columns.login, columns.first_name, columns.last_name, columns.email, columns.enabled, columns.admin
    ).order_by(columns.login)
    async with transaction(engine) as connection:
        rows = await connection.execute(query if login is None else query.where(columns.login == login))
        return [Account(*row) for row in rows]


async def set_password(engine: AsyncEngine, login: str, password: str) -> None:
    """Give a user another password; his logins end. Raises `UserError` where there is no such user."""
    await _change(engine, login, {"password_hash": await _hash(password)})


async def set_enabled(engine: AsyncEngine, login: str, *, enabled: bool) -> None:
    """Let a user in, or keep him out from now on. Raises `UserError` where there is no such user."""
    await _change(engine, login, {"enabled": enabled})


async def _change(engine: AsyncEngine, login: str, values: dict[str, object]) -> None:
    statement = sa.update(users).where(users.c.login == login).values(values).returning(users.c.login)
    async with transaction(engine) as connection:
        if (await connection.execute(statement)).one_or_none() is None:
            raise UserError("not-found-user", f"There is no user {login}.")
        await connection.execute(sa.delete(logins).where(logins.c.login == login))


async def _hash(password: str) -> str:
    if len(password) < PASSWORD_LENGTH:
        raise UserError("password-invalid", f"A password has at least {PASSWORD_LENGTH} characters.")
    return await asyncio.to_thread(PasswordHasher().hash, password)


async def set_role(engine: AsyncEngine, project: str, login: str, role: Role | None) -> None:
    """Give a user a role in a project, or with None take it away. Safe to repeat.

    Raises:
        UserError: there is no such user or project.
    """
    async with transaction(engine) as connection:
        for table, column, name in ((projects, projects.c.id, project), (users, users.c.login, login)):
            if (await connection.execute(sa.select(column).where(column == name))).one_or_none() is None:
                raise UserError(f"not-found-{table.name}", f"There is no {table.name.removesuffix('s')} {name}.")
        if role is None:
            await connection.execute(
                sa.delete(memberships).where(memberships.c.project == project, memberships.c.login == login)
            )
            return
        row = insert(memberships).values(project=project, login=login, role=role.value)
        await connection.execute(
            row.on_conflict_do_update(index_elements=["project", "login"], set_={"role": role.value})
        )


async def ensure_admin(engine: AsyncEngine, login: str, password: str) -> None:
    """Make the first administrator, or give him this password."""
    digest = PasswordHasher().hash(password)
    statement = insert(users).values(
        login=login, password_hash=digest, admin=True, first_name="Site", last_name="Admin"
    )
    async with transaction(engine) as connection:
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=["login"], set_={"password_hash": digest, "admin": True, "enabled": True}
            )
        )


async def ensure_project(engine: AsyncEngine, project: str, owner: str) -> None:
    """Make a project that `owner` owns, unless there is one."""
    async with transaction(engine) as connection:
        await connection.execute(
            insert(projects).values(id=project, name=project, created_by=owner).on_conflict_do_nothing()
        )
        if owner:
            await connection.execute(
                insert(memberships).values(project=project, login=owner, role=Role.OWNER.value).on_conflict_do_nothing()
            )

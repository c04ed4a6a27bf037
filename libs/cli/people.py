"""`scandock user …` and `scandock project …`: passwords are prompted for, or read from stdin, never arguments."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.cli import accounts
from libs.common.access import Role
from libs.common.database import open_engine
from libs.common.errors import ScandockError, UserError
from libs.common.names import is_project_id

user_app = typer.Typer(help="Users and their passwords.", no_args_is_help=True)
project_app = typer.Typer(help="Projects and who belongs to them.", no_args_is_help=True)
Result = TypeVar("Result")
Login = Annotated[str, typer.Argument(help="User name")]
Project = Annotated[str, typer.Argument(help="Project ID")]


@user_app.command("add")
def add_user(
    login: Login,
    first_name: str = "",
    last_name: str = "",
    email: str = "",
    admin: Annotated[bool, typer.Option("--admin", help="May do everything")] = False,
) -> None:
    """Make a user; the password is prompted for, or the first line of stdin."""
    new = accounts.NewUser(login, _read_password(), first_name, last_name, email, admin)
    _run(lambda engine: accounts.add_user(engine, new))
    typer.echo(f"made user {login}")


@user_app.command("list")
def list_users() -> None:
    """Show every user: name, whether enabled, whether administrator, e-mail."""
    for each in _run(accounts.list_users):
        words = (each.login, "enabled" if each.enabled else "disabled", "admin" if each.admin else "user", each.email)
        typer.echo("\t".join(words))


@user_app.command("disable")
def disable_user(login: Login) -> None:
    """Keep a user out from now on; his logins end."""
    _run(lambda engine: accounts.set_enabled(engine, login, enabled=False))


@user_app.command("enable")
def enable_user(login: Login) -> None:
    """Let a user in again."""
    _run(lambda engine: accounts.set_enabled(engine, login, enabled=True))


@user_app.command("password")
def change_password(login: Login) -> None:
    """Give a user another password, prompted for or the first line of stdin; his logins end."""
    password = _read_password()
    _run(lambda engine: accounts.set_password(engine, login, password))


@project_app.command("add")
def add_project(project: Project, owner: Annotated[str, typer.Option(help="User name of its owner")] = "") -> None:
    """Make a project unless there is one."""
    if not is_project_id(project):
        raise typer.BadParameter("a project ID has letters, digits, _ and -, at most 64")
    _run(lambda engine: accounts.ensure_project(engine, project, owner))
    if owner:
        _run(lambda engine: accounts.set_role(engine, project, owner, Role.OWNER))


@project_app.command("member")
def set_member(
    project: Project,
    login: Login,
    role: Annotated[str, typer.Option(help="owner, member, collaborator or none")] = "member",
) -> None:
    """Give a user a role in a project, or take it away."""
    if role not in {*Role, "none"}:
        raise typer.BadParameter("role must be owner, member, collaborator or none")
    _run(lambda engine: accounts.set_role(engine, project, login, None if role == "none" else Role(role)))


def _read_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _run(step: Callable[[AsyncEngine], Awaitable[Result]]) -> Result:
    """Do one step on the database, which alone is needed; a failure is a line of text."""

    async def run() -> Result:
        engine = open_engine(os.environ["DATABASE_URL"], 1)
        try:
            return await step(engine)
        finally:
            await engine.dispose()

    if not os.environ.get("DATABASE_URL"):
        raise typer.BadParameter("DATABASE_URL is not set")
    try:
        return asyncio.run(run())
    except ScandockError as error:
        typer.echo(error.detail if isinstance(error, UserError) else f"{error.code}: {error.detail}", err=True)
        raise typer.Exit(1) from error

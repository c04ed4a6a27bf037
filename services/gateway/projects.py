"""One project: made, described, its settings and its people."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from lxml import etree
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action, Role, User
from libs.common.errors import UserError
from libs.common.names import LABEL_LENGTH, is_project_id
from libs.common.schema import memberships, project_aliases, projects, users
from services.gateway.destinations import find_project
from services.gateway.tables import Item, Row

TEXT_LENGTH = 10_000
SETTINGS = {"prearchive_code": re.compile(r"[0-9]{1,9}"), "quarantine_code": re.compile(r"[01]")}
"""Settings that are numbers (import semantics §7.7). Any prearchive code is stored; from 4 on all but 5 mean 4."""
_MEANINGS = {
    "prearchive_code": "0 (stay in the prearchive), 4 (archive) or 5 (archive, and replace what differs)",
    "quarantine_code": "0 or 1",
}
ACCESSIBILITIES = frozenset({"public", "protected", "private"})
USER_COLUMNS = ("login", "firstname", "lastname", "email", "displayname", "GROUP_ID")
GROUPS = {Role.OWNER: "Owners", Role.MEMBER: "Members", Role.COLLABORATOR: "Collaborators"}
_XNAT = "{http://nrg.wustl.edu/xnat}"


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of a project; None where it is not said."""

    name: str | None = None
    secondary_id: str | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()

    def values(self) -> dict[str, str]:
        """The columns that are said."""
        said = {"name": self.name, "secondary_id": self.secondary_id, "description": self.description}
        return {column: text[:TEXT_LENGTH] for column, text in said.items() if text is not None}


def parse_document(body: bytes) -> Description:
    """A project's XML, read without entities and without network. Raises `UserError` where it is not well-formed."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise UserError("document-malformed", "The project's document is not well-formed XML.") from error
    return Description(
        name=root.findtext(f"{_XNAT}name"),
        secondary_id=root.get("secondary_ID"),
        description=root.findtext(f"{_XNAT}description"),
        aliases=tuple(text for each in root.iterfind(f"{_XNAT}aliases/{_XNAT}alias") if (text := each.text or "")),
    )


async def put_project(connection: AsyncConnection, user: User, name: str, said: Description) -> bool:
    """Make a project, which `user` owns then, or change what is said of one that is his; whether it is new.

    Raises:
        UserError: the ID will not do, is too like another's, or the project is not his to change.
    """
    columns = projects.c
    query = sa.select(columns.id).where(sa.func.lower(columns.id) == name.lower())
    existing = (await connection.execute(query)).scalars().first()
    if existing == name:
        await find_project(connection, user, name, Action.ADMINISTER)
        if said.values():
            await connection.execute(sa.update(projects).where(columns.id == name).values(**said.values()))
    else:
        if not is_project_id(name):
            raise UserError("project-invalid", "A project ID has letters, digits, _ and -, at most 64.")
        if existing is not None or await _is_alias(connection, name):
            raise UserError("conflict-project", "There is a project of that name already.")
        values = {"name": name, **said.values()}
        made = insert(projects).values(id=name, created_by=user.login, **values).on_conflict_do_nothing()
        await connection.execute(made)
        await connection.execute(
            insert(memberships).values(project=name, login=user.login, role=Role.OWNER.value).on_conflict_do_nothing()
        )
    await _add_aliases(connection, name, said.aliases)
    return existing is None


async def _is_alias(connection: AsyncConnection, name: str) -> bool:
    query = sa.select(project_aliases.c.alias).where(project_aliases.c.alias == name)
    return (await connection.execute(query)).one_or_none() is not None


async def _add_aliases(connection: AsyncConnection, project: str, aliases: Sequence[str]) -> None:
    for alias in aliases:
        if len(alias) > LABEL_LENGTH or not alias.isprintable():
            raise UserError("project-invalid", f"An alias is printable, of at most {LABEL_LENGTH} characters.")
        row = insert(project_aliases).values(alias=alias, project=project).on_conflict_do_nothing()
        await connection.execute(row)
        query = sa.select(project_aliases.c.project).where(project_aliases.c.alias == alias)
        is_id = sa.select(projects.c.id).where(projects.c.id == alias, projects.c.id != project)
        taken = (await connection.execute(query)).scalar_one() != project
        if taken or (await connection.execute(is_id)).one_or_none() is not None:
            raise UserError("conflict-project", "Another project has one of the aliases.")


async def project_item(connection: AsyncConnection, user: User, name: str) -> Item:
    """A project as its document says it. Raises `UserError` if it is not there for this user."""
    project = await find_project(connection, user, name, Action.READ)
    row = (await connection.execute(sa.select(projects).where(projects.c.id == project))).one()
    fields = {
        "ID": row.id,
        "name": row.name,
        "secondary_ID": row.secondary_id,
        "description": row.description,
        "active": "1",
    }
    return Item("xnat:projectData", fields)


async def read_setting(connection: AsyncConnection, user: User, name: str, setting: str) -> str:
    """The value of a column of `projects`, for who may read the project."""
    project = await find_project(connection, user, name, Action.READ)
    query = sa.select(projects.c[setting]).where(projects.c.id == project)
    return str((await connection.execute(query)).scalar_one())


async def write_setting(connection: AsyncConnection, user: User, name: str, setting: str, value: str) -> None:
    """Change a setting of a project, for who administers it. Raises `UserError` where it can't have that value."""
    project = await find_project(connection, user, name, Action.ADMINISTER)
    if setting not in SETTINGS and value not in ACCESSIBILITIES:
        raise UserError("parameter-invalid", f"{setting} must be {' or '.join(sorted(ACCESSIBILITIES))}.")
    if setting in SETTINGS and not SETTINGS[setting].fullmatch(value):
        raise UserError("parameter-invalid", f"{setting} must be a number: {_MEANINGS[setting]}.")
    stored = int(value) if setting in SETTINGS else value
    await connection.execute(sa.update(projects).where(projects.c.id == project).values({setting: stored}))


async def list_members(connection: AsyncConnection, user: User, name: str) -> list[Row]:
    """Who belongs to a project, by role and name."""
    project = await find_project(connection, user, name, Action.READ)
    query = (
        sa.select(users.c.login, users.c.first_name, users.c.last_name, users.c.email, memberships.c.role)
        .join(memberships, memberships.c.login == users.c.login)
        .where(memberships.c.project == project)
        .order_by(memberships.c.role, users.c.login)
    )
    return [
        dict(
            zip(
                USER_COLUMNS,
                (r.login, r.first_name, r.last_name, r.email, GROUPS[Role(r.role)], f"{project}_{r.role}"),
                strict=True,
            )
        )
        for r in await connection.execute(query)
    ]


def read_group(text: str, project: str) -> Role:
    """The role that a group's name means: `Owners`, `owner`, `{P}_owner`. Raises `UserError` if it is none."""
    word = text.removeprefix(f"{project}_").lower().removesuffix("s")
    if word not in set(Role):
        raise UserError("parameter-invalid", "The group must be Owners, Members or Collaborators.")
    return Role(word)

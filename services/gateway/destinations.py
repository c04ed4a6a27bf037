"""Where a request wants to go, looked up: aliases, IDs, and whether its sender may (import semantics §2)."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action, User, may
from libs.common.errors import UserError
from libs.common.requests import Area, Destination
from libs.common.schema import project_aliases, projects, sessions, subjects
from services.gateway.parameters import IdOf


async def find_project(connection: AsyncConnection, user: User, name: str, action: Action) -> str:
    """The ID of the project that `name` is the ID or an alias of.

    Raises:
        UserError: unknown or not for this user to see (`project-unknown`), or to be read but not this (`forbidden`).
    """
    alias = sa.select(project_aliases.c.project).where(project_aliases.c.alias == name).scalar_subquery()
    query = (
        sa.select(projects.c.id, projects.c.accessibility)
        .where(sa.or_(projects.c.id == name, projects.c.id == alias))
        .order_by((projects.c.id == name).desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None or not may(user, Action.READ, row.id, row.accessibility):
        raise UserError("project-unknown", f"Unknown project: {name}")
    if not may(user, action, row.id, row.accessibility):
        raise UserError("forbidden", f"The user {user.login} may not {action.value} project {row.id}.")
    return str(row.id)


async def resolve(connection: AsyncConnection, user: User, destination: Destination, id_of: IdOf | None) -> Destination:
    """The destination with IDs and aliases replaced by what they stand for; the user may import there.

    Raises:
        UserError: it names a project, session or subject that is not there, or not this user's to change.
    """
    if id_of is not None:
        destination = await _resolve_id(connection, destination, id_of)
    if destination.project is None:
        return destination
    try:
        project = await find_project(connection, user, destination.project, Action.EDIT)
    except UserError as error:
        if error.code != "project-unknown":
            raise
        raise _no_such_project(destination, id_of) from error
    found = destination.model_copy(update={"project": project})
    if found.session and found.area is not Area.PREARCHIVE:
        found = await _adopt_session(connection, found)
    if found.subject:
        found = await _adopt_subject(connection, found)
    return found


async def _resolve_id(connection: AsyncConnection, destination: Destination, id_of: IdOf) -> Destination:
    """The project that has what `dest` names by its ID alone."""
    match id_of:
        case IdOf.SESSION:
            is_it = (sessions.c.id == destination.session) & (sessions.c.place == "archive")
            query = sa.select(sessions.c.project).where(is_it)
        case IdOf.SUBJECT:
            query = sa.select(subjects.c.project).where(subjects.c.id == destination.subject)
    project = (await connection.execute(query)).scalar_one_or_none()
    if project is None:
        raise _no_such_id(destination, id_of)
    return destination.model_copy(update={"project": project})


def _no_such_project(destination: Destination, id_of: IdOf | None) -> UserError:
    if id_of is not None:
        return _no_such_id(destination, id_of)
    return UserError(
        "project-unknown",
        f"Unknown project: {destination.project}. By dest, PROJECT_ID or project name one that you may edit.",
    )


def _no_such_id(destination: Destination, id_of: IdOf) -> UserError:
    name = destination.session if id_of is IdOf.SESSION else destination.subject
    return UserError("not-found", f"dest: there is no {id_of.value} with the ID {name}.")


async def _adopt_session(connection: AsyncConnection, destination: Destination) -> Destination:
    """An archived session of this label, else of this ID, gives its own labels (§2)."""
    query = (
        sa.select(sessions.c.label, sessions.c.subject_label)
        .where(
            sessions.c.project == destination.project,
            sessions.c.place == "archive",
            sa.or_(sessions.c.label == destination.session, sessions.c.id == destination.session),
        )
        .order_by((sessions.c.label == destination.session).desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return destination
    return destination.model_copy(
        update={"session": row.label, "subject": destination.subject or row.subject_label or None}
    )


async def _adopt_subject(connection: AsyncConnection, destination: Destination) -> Destination:
    """A subject of this label, without regard to case, else of this ID, gives its label (§2)."""
    is_label = sa.func.lower(subjects.c.label) == sa.func.lower(destination.subject)
    query = (
        sa.select(subjects.c.label)
        .where(subjects.c.project == destination.project, sa.or_(is_label, subjects.c.id == destination.subject))
        .order_by(is_label.desc())
        .limit(1)
    )
    label = (await connection.execute(query)).scalar_one_or_none()
    return destination.model_copy(update={"subject": label}) if label else destination

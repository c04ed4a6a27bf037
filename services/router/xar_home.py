"""Which session XNAT documents mean, and whether their sender may change it (import semantics §3.6)."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.errors import UserError
from libs.common.names import clean_folder, clean_label
from libs.common.schema import project_aliases, projects, sessions
from libs.common.stated import SESSION_KEY
from services.router.entries import load_user
from services.router.rules import Identity
from services.router.xar_documents import NO_SESSION, Document, Kind


@dataclass(frozen=True, slots=True)
class Home:
    """The session that the documents mean: its study's key, what it is called, and its type."""

    study_key: str
    identity: Identity
    xsi_type: str


async def find_home(connection: AsyncConnection, login: str, document: Document) -> Home:
    """The session of a session document, or the archived one that scan documents name.

    Raises:
        UserError: its project is unknown or not the user's to change; there is no such session.
    """
    if document.kind is Kind.SESSION:
        project = await _find_project(connection, login, document.project)
        label = clean_label(document.session)
        identity = Identity(project, clean_label(document.subject), label, clean_folder(label), None)
        return Home(document.study_instance_uid or SESSION_KEY, identity, document.xsi_type)
    return await _find_session(connection, login, document)


async def _find_project(connection: AsyncConnection, login: str, named: str) -> str:
    """The project of this ID or alias. Raises `UserError`: unknown (also to this user), or not his to change."""
    user = await load_user(connection, login)
    alias = sa.select(project_aliases.c.project).where(project_aliases.c.alias == named).scalar_subquery()
    row = (
        await connection.execute(
            sa.select(projects.c.id, projects.c.accessibility)
            .where(sa.or_(projects.c.id == named, projects.c.id == alias))
            .order_by(projects.c.id != named)
            .limit(1)
        )
    ).one_or_none()
    if row is None or not access.may(user, access.Action.READ, row.id, row.accessibility):
        raise UserError(
            "project-unknown", f"Unknown project: {named}. The XAR's document must name one that you may edit."
        )
    if not access.may(user, access.Action.EDIT, row.id, row.accessibility):
        raise UserError("forbidden", f"The user {login} may not edit project {row.id}.")
    return str(row.id)


async def _find_session(connection: AsyncConnection, login: str, document: Document) -> Home:
    """The archived session that scan documents name: by its ID, else by its label in the project they name."""
    columns = sessions.c
    is_label = sa.and_(columns.label == document.session, columns.project == document.project)
    row = (
        await connection.execute(
            sa.select(
                columns.project, columns.label, columns.subject_label, columns.study_instance_uid, columns.xsi_type
            )
            .where(columns.place == "archive", sa.or_(columns.id == document.session, is_label))
            .order_by(columns.id != document.session)
            .limit(1)
        )
    ).one_or_none()
    if row is None:
        raise UserError(*NO_SESSION)
    try:
        project = await _find_project(connection, login, row.project)
    except UserError as error:
        if error.code == "forbidden":
            raise
        raise UserError(*NO_SESSION) from error
    identity = Identity(project, row.subject_label, row.label, clean_folder(row.label), None)
    return Home(row.study_instance_uid or SESSION_KEY, identity, row.xsi_type)

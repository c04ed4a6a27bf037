"""Projects, subjects and experiments as tables, of what a user may read (clients §2)."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Role, User
from libs.common.errors import UserError
from libs.common.schema import projects, sessions, subjects
from services.gateway.places import SESSION, Session, is_project, is_readable, is_subject, session_of
from services.gateway.tables import Item, Row, dicom_date, moment

PROJECT_COLUMNS = ("ID", "name", "secondary_ID", "description", "pi_firstname", "pi_lastname", "URI")
SUBJECT_COLUMNS = ("ID", "project", "label", "insert_date", "insert_user", "URI")
EXPERIMENT_COLUMNS = ("ID", "project", "date", "xsiType", "label", "insert_date", "URI")
SUBJECT_ID_PATH = "xnat:subjectassessordata/subject_id"
"""How XNAT calls that column, in lower case whatever was asked (clients §5)."""
QUARANTINE = "quarantine_status"
"""`quarantine` or `active` (import semantics §7.7)."""
ANY_SESSION = frozenset({"xnat:experimentdata", "xnat:subjectassessordata", "xnat:imagesessiondata"})
_ROLES: Mapping[str, frozenset[Role]] = {
    "owner": frozenset({Role.OWNER}),
    "member": frozenset({Role.MEMBER}),
    "collaborator": frozenset({Role.COLLABORATOR}),
}
_EDITORS = frozenset({Role.OWNER, Role.MEMBER})


def is_true(asked: Mapping[str, str], name: str) -> bool:
    """Whether a listing's parameter is `true`."""
    return asked.get(name, "").lower() in {"true", "1"}


async def list_projects(connection: AsyncConnection, user: User, asked: Mapping[str, str]) -> list[Row]:
    """The projects that the user may read; with `owner`, `member`, `collaborator`, `permissions` fewer."""
    query = sa.select(projects).where(is_readable(user)).order_by(projects.c.id)
    if not (user.admin and "permissions" in asked):
        roles = frozenset().union(*(each for name, each in _ROLES.items() if is_true(asked, name)))
        if "permissions" in asked and not asked["permissions"].lower().startswith("read"):
            roles |= _EDITORS
        if roles:
            query = query.where(projects.c.id.in_([name for name, role in user.roles.items() if role in roles]))
    if wanted := asked.get("ID"):
        query = query.where(projects.c.id == wanted)
    return [_project_row(row, _is_lower_case(asked)) for row in await connection.execute(query)]


def _is_lower_case(asked: Mapping[str, str]) -> bool:
    return bool({"permissions", "owner", "member", "collaborator"} & asked.keys())


def project_columns(asked: Mapping[str, str]) -> Sequence[str]:
    """The columns of the listing; lower case with `permissions`, `owner`, `member` (clients §2)."""
    return tuple(c if c == "URI" else c.lower() for c in PROJECT_COLUMNS) if _is_lower_case(asked) else PROJECT_COLUMNS


def _project_row(row: sa.Row[*tuple[Any, ...]], is_lower_case: bool) -> Row:
    values = (row.id, row.name, row.secondary_id, row.description, "", "", f"/data/projects/{quote(row.id)}")
    columns = project_columns({"permissions": ""} if is_lower_case else {})
    return dict(zip(columns, values, strict=True))


async def list_subjects(
    connection: AsyncConnection, user: User, address: Mapping[str, str], asked: Mapping[str, str]
) -> list[Row]:
    """The subjects of a project, or of all that the user may read; `label`, `ID` and `project` filter."""
    query = sa.select(subjects).join(projects, projects.c.id == subjects.c.project).where(is_readable(user))
    if "project" in address:
        query = query.where(is_project(address["project"]))
    for name, column in (("label", subjects.c.label), ("ID", subjects.c.id), ("project", subjects.c.project)):
        if asked.get(name):
            query = query.where(column.in_(asked[name].split(",")))
    rows = await connection.execute(query.order_by(subjects.c.project, subjects.c.label))
    return [_subject_row(row) for row in rows]


def _subject_row(row: sa.Row[*tuple[Any, ...]]) -> Row:
    uri = f"/data/subjects/{quote(row.id)}"
    values = (row.id, row.project, row.label, moment(row.created_at), row.created_by, uri)
    return dict(zip(SUBJECT_COLUMNS, values, strict=True))


async def find_subject(connection: AsyncConnection, user: User, address: Mapping[str, str]) -> Item:
    """One subject, in its project by label or ID, else by ID. Raises `UserError` if it is not there to see."""
    query = sa.select(subjects).join(projects, projects.c.id == subjects.c.project).where(is_readable(user))
    name = address["subject"]
    if "project" in address:
        query = query.where(is_project(address["project"]), is_subject(name))
        query = query.order_by((sa.func.lower(subjects.c.label) == name.lower()).desc())
    else:
        query = query.where(subjects.c.id == name)
    row = (await connection.execute(query.limit(1))).one_or_none()
    if row is None:
        raise UserError("not-found", "There is no such subject.")
    return Item("xnat:subjectData", {"ID": row.id, "project": row.project, "label": row.label})


async def list_sessions(
    connection: AsyncConnection, user: User, address: Mapping[str, str], asked: Mapping[str, str]
) -> list[Session]:
    """The archived sessions of a project or subject, or of all that the user may read.

    `label`, `ID`, `UID`, `project`, `subject_label`, `subject_ID` and `xsiType` filter; a comma separates values.
    """
    query = SESSION.where(sessions.c.place == "archive", is_readable(user))
    if "project" in address:
        query = query.where(is_project(address["project"]))
    if "subject" in address:
        query = query.where(
            is_subject(address["subject"]) if "project" in address else subjects.c.id == address["subject"]
        )
    columns = {
        "label": sessions.c.label,
        "ID": sessions.c.id,
        "UID": sessions.c.study_instance_uid,
        "project": sessions.c.project,
        "subject_label": subjects.c.label,
        "subject_ID": subjects.c.id,
    }
    for name, column in columns.items():
        if asked.get(name):
            query = query.where(column.in_(asked[name].split(",")))
    types = [text for text in asked.get("xsiType", "").split(",") if text]
    if types and not ANY_SESSION & {text.lower() for text in types}:
        query = query.where(sessions.c.xsi_type.in_(types))
    rows = await connection.execute(query.order_by(sessions.c.project, sessions.c.label))
    return [session_of(row) for row in rows]


def experiment_columns(asked: Mapping[str, str]) -> Sequence[str]:
    """The columns of the listing: always XNAT's own, and those of `columns` that are known besides."""
    wanted = {text.strip().lower() for text in asked.get("columns", "").split(",")}
    more = []
    if {"subject_id", SUBJECT_ID_PATH} & wanted:
        more.append("subject_ID")
    if SUBJECT_ID_PATH in wanted:
        more.append(SUBJECT_ID_PATH)
    more += [name for name in ("subject_label", "UID", QUARANTINE) if name.lower() in wanted]
    return (*EXPERIMENT_COLUMNS, *more)


def experiment_row(session: Session, columns: Sequence[str]) -> Row:
    """One row of the listing, with exactly these columns."""
    values = {
        "ID": session.id,
        "project": session.project or "",
        "date": session.stated.get("date") or dicom_date(session.attributes.get("StudyDate")),
        "xsiType": session.xsi_type,
        "label": session.label,
        "insert_date": moment(session.archived_at or session.created_at),
        "URI": session.uri,
        "subject_ID": session.subject_id,
        SUBJECT_ID_PATH: session.subject_id,
        "subject_label": session.subject_label,
        "UID": session.study_instance_uid,
        QUARANTINE: "quarantine" if session.quarantined else "active",
    }
    return {column: values[column] for column in columns}

"""Sessions as addresses name them, in the archive or in the prearchive, for those who may read them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action, User, may, may_read_unassigned
from libs.common.errors import UserError
from libs.common.names import UNASSIGNED, prearchive_uri
from libs.common.schema import project_aliases, projects, sessions, subjects

PREARCHIVED = ("opening", "prearchive")

_STATED = re.compile(
    r"xnat:(?:\w*SessionData|experimentData|subjectAssessorData)/@?"
    r"(?!(?:ID|label|project|subject_ID|UID)$)(\w+|(?:scanner|investigator)/\w+)"
)
"""XML path of a field of the session itself; what names the session is not the sender's to state."""


@dataclass(frozen=True, slots=True)
class Session:
    """One session that its reader may see."""

    id: str
    place: str
    status: str
    status_reason: str
    project: str | None
    subject_id: str
    subject_label: str
    label: str
    timestamp: str
    folder: str
    prefix: str
    study_instance_uid: str
    xsi_type: str
    attributes: Mapping[str, str | None]
    auto_archive: bool | None
    prevent_anon: bool
    prevent_auto_commit: bool
    source: str
    visit: str
    protocol: str
    timezone: str
    is_direct: bool
    created_by: str
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None
    quarantined: bool
    fields: Mapping[str, str]

    @property
    def stated(self) -> Mapping[str, str]:
        """What its sender set by XML path, by the name that the field has in an item, such as `note`."""
        found = ((_STATED.fullmatch(path), self.fields[path]) for path in sorted(self.fields))
        return {match[1]: text for match, text in found if match and text}

    @property
    def is_archived(self) -> bool:
        """Whether it is in the archive."""
        return self.place == "archive"

    @property
    def prearchive_uri(self) -> str:
        """Where its entry is, without `/data`."""
        return prearchive_uri(self.project, self.timestamp, self.folder)

    @property
    def uri(self) -> str:
        """Its address."""
        return f"/data/experiments/{quote(self.id)}" if self.is_archived else f"/data{self.prearchive_uri}"


SESSION = sa.select(
    sessions.c.id,
    sessions.c.place,
    sessions.c.status,
    sessions.c.status_reason,
    sessions.c.project,
    sa.func.coalesce(sessions.c.subject_id, "").label("subject_id"),
    sa.func.coalesce(subjects.c.label, sessions.c.subject_label).label("subject_label"),
    *(
        sessions.c[name]
        for name in Session.__dataclass_fields__
        if name not in {"id", "place", "status", "status_reason", "project", "subject_id", "subject_label"}
    ),
).select_from(
    sessions.outerjoin(subjects, subjects.c.id == sessions.c.subject_id).outerjoin(
        projects, projects.c.id == sessions.c.project
    )
)
"""The columns of `Session`, in its order."""


def session_of(row: sa.Row[*tuple[Any, ...]]) -> Session:
    """The row of a `SESSION` query."""
    return Session(*row)


def is_readable(user: User) -> sa.ColumnElement[bool]:
    """The rows of `projects` that a user may read: `access.may` as a condition."""
    if user.admin:
        return sa.true()
    return sa.or_(projects.c.id.in_(list(user.roles)), projects.c.accessibility == "public")


def is_project(name: str) -> sa.ColumnElement[bool]:
    """The project whose ID or alias is `name`."""
    alias = sa.select(project_aliases.c.project).where(project_aliases.c.alias == name).scalar_subquery()
    return sa.or_(projects.c.id == name, projects.c.id == alias)


async def find_session(connection: AsyncConnection, user: User, address: Mapping[str, str]) -> Session:
    """The session at an address: with `timestamp` and `folder` in the prearchive, else in the archive.

    Raises:
        UserError: it is not there, or not for this user to see.
    """
    condition = _prearchived(user, address) if "timestamp" in address else _archived(user, address)
    is_label = sessions.c.label == address.get("session", "")
    row = (await connection.execute(SESSION.where(condition).order_by(is_label.desc()).limit(1))).one_or_none()
    if row is None:
        raise UserError("not-found", "There is no such session.")
    return session_of(row)


async def find_entry(connection: AsyncConnection, user: User, address: Mapping[str, str]) -> Session:
    """The prearchive entry at an address, being opened or there, for who may change it.

    Raises:
        UserError: it is not there or not for this user to see (`not-found`), or not his to change (`forbidden`).
    """
    condition = sessions.c.place.in_(PREARCHIVED) & _addressed(user, address)
    row = (await connection.execute(SESSION.where(condition))).one_or_none()
    if row is None:
        uri = prearchive_uri(address["project"], address["timestamp"], address["folder"])
        raise UserError("not-found", f"{uri} not found.")
    return require(user, Action.EDIT, session_of(row))


def require(user: User, action: Action, session: Session) -> Session:
    """The session that a user may read, if he may do this with it. Raises `UserError` (`forbidden`)."""
    if session.project is not None and not may(user, action, session.project):
        raise UserError("forbidden", f"The user {user.login} may not {action.value} sessions of {session.project}.")
    return session


async def find_sessions(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Session]:
    """Sessions by their IDs, wherever they are."""
    rows = await connection.execute(SESSION.where(sessions.c.id.in_(ids)))
    return {row.id: session_of(row) for row in rows}


def _prearchived(user: User, address: Mapping[str, str]) -> sa.ColumnElement[bool]:
    return (sessions.c.place == "prearchive") & _addressed(user, address)


def _addressed(user: User, address: Mapping[str, str]) -> sa.ColumnElement[bool]:
    return sa.and_(
        of_prearchive(user, address["project"]),
        sessions.c.timestamp == address["timestamp"],
        sessions.c.folder == address["folder"],
    )


def of_prearchive(user: User, project: str) -> sa.ColumnElement[bool]:
    """The prearchive of one project; Unassigned, compared without regard to case, for administrators alone."""
    if project.lower() == UNASSIGNED.lower():
        return sa.and_(sessions.c.project.is_(None), sa.true() if may_read_unassigned(user) else sa.false())
    return sa.and_(is_project(project), is_readable(user))


def _archived(user: User, address: Mapping[str, str]) -> sa.ColumnElement[bool]:
    """Inside a project by label or ID, else by ID (clients §1.2)."""
    name = address["session"]
    conditions = [sessions.c.place == "archive", is_readable(user)]
    if "project" in address:
        conditions += [is_project(address["project"]), sa.or_(sessions.c.label == name, sessions.c.id == name)]
    else:
        conditions.append(sessions.c.id == name)
    if "subject" in address:
        conditions.append(is_subject(address["subject"]))
    return sa.and_(*conditions)


def is_subject(name: str) -> sa.ColumnElement[bool]:
    """The subject of this ID, or of this label without regard to case."""
    return sa.or_(subjects.c.id == name, sa.func.lower(subjects.c.label) == name.lower())

"""The sessions and folders that a refresh is about, looked up for who may change them (import semantics §9.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action, User, may
from libs.common.errors import UserError
from libs.common.names import resource_folder
from libs.common.schema import projects, subjects
from services.gateway.assessors import find_assessor
from services.gateway.contents import Holder, find_resource, find_scan
from services.gateway.destinations import find_project
from services.gateway.places import Session, find_session, is_project, is_readable, is_subject
from services.gateway.refresh import Address, outermost, raise_first


@dataclass(frozen=True, slots=True)
class Place:
    """A session, and those of its folders that are asked for; none means all."""

    session: Session
    folders: tuple[str, ...]


async def find_places(connection: AsyncConnection, user: User, addresses: Sequence[Address]) -> list[Place]:
    """The sessions that these addresses lie in, each once. Projects and subjects have no resources of their own here.

    Raises:
        UserError: there is nothing at an address for this user to see, or it is not his to change; each is named.
    """
    sessions: dict[str, Session] = {}
    folders: dict[str, set[str]] = {}
    problems = list[UserError]()
    for address in addresses:
        try:
            if address.session is None:
                await _check_above(connection, user, address)
                continue
            session = await _find_session(connection, user, address)
            folders.setdefault(session.id, set()).add(await _folder(connection, session, address))
            sessions[session.id] = session
        except UserError as error:
            problems.append(error if error.code == "forbidden" else _unknown(address))
    raise_first(problems)
    return [Place(session, outermost(folders[session_id])) for session_id, session in sessions.items()]


def _unknown(address: Address) -> UserError:
    return UserError("resource-unknown", f"Cannot locate archivable item securing {address.text}")


def _forbidden(user: User, address: Address, item: str) -> UserError:
    told = f"The user {user.login} does not have permission to edit the resource {address.text} for item {item}"
    return UserError("forbidden", told)


async def _find_session(connection: AsyncConnection, user: User, address: Address) -> Session:
    named = {"session": address.session, "project": address.project, "subject": address.subject}
    found = await find_session(connection, user, {name: value for name, value in named.items() if value is not None})
    if not may(user, Action.EDIT, str(found.project)):
        raise _forbidden(user, address, found.id)
    return found


async def _folder(connection: AsyncConnection, session: Session, address: Address) -> str:
    """The folder that is asked for, "" for all of the session's."""
    if address.has_other:
        raise _unknown(address)
    scan = None if address.scan is None else (await find_scan(connection, session, address.scan)).scan_id
    of = address.assessor
    assessor = None if of is None else (await find_assessor(connection, session, of)).id
    if address.resource is not None:
        found = await find_resource(connection, session, Holder(scan, assessor), address.resource)
        return resource_folder(scan, found.label, assessor)
    if assessor is not None:
        return f"ASSESSORS/{assessor}"
    return "" if scan is None else f"SCANS/{scan}"


async def _check_above(connection: AsyncConnection, user: User, address: Address) -> None:
    """A project or a subject: it must be there, and the user's to change."""
    if address.subject is None:
        item = project = await find_project(connection, user, str(address.project), Action.READ)
    else:
        item, project = await _find_subject(connection, user, address)
    if not may(user, Action.EDIT, project):
        raise _forbidden(user, address, item)
    if address.resource is not None:
        raise _unknown(address)


async def _find_subject(connection: AsyncConnection, user: User, address: Address) -> tuple[str, str]:
    """The subject's ID and its project."""
    name = str(address.subject)
    where = [subjects.c.id == name] if address.project is None else [is_project(address.project), is_subject(name)]
    query = (
        sa.select(subjects.c.id, projects.c.id)
        .join_from(subjects, projects, projects.c.id == subjects.c.project)
        .where(is_readable(user), *where)
        .order_by((subjects.c.id == name).desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise _unknown(address)
    return str(row[0]), str(row[1])

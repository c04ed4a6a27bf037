"""Who may import where, and the sessions' entries of an import: the SQL of identification."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access, names
from libs.common.errors import Retryable, UserError
from libs.common.importers import IMPORTERS, Entries
from libs.common.schema import (
    import_sessions,
    memberships,
    project_aliases,
    projects,
    session_ids,
    sessions,
    users,
)
from libs.common.stated import uid_of
from services.router.batches import Batch
from services.router.rules import Identity
from services.router.studies import Study

_OPENING_ROUNDS = 20
_STUDY_KEY = sa.func.coalesce(sessions.c.study_key, sessions.c.study_instance_uid)


async def usable_projects(connection: AsyncConnection, login: str, candidates: Collection[str]) -> Mapping[str, str]:
    """Those `candidates` that are the ID or an alias of a project where `login` may import -> the project's ID."""
    wanted = sorted(set(candidates))
    if not wanted:
        return {}
    by_alias = sa.select(project_aliases.c.alias, project_aliases.c.project).where(project_aliases.c.alias.in_(wanted))
    by_id = sa.select(projects.c.id, projects.c.id).where(projects.c.id.in_(wanted))
    named = {row[0]: row[1] for statement in (by_alias, by_id) for row in await connection.execute(statement)}
    user = await load_user(connection, login)
    return {name: project for name, project in named.items() if access.may(user, access.Action.EDIT, project)}


async def load_user(connection: AsyncConnection, login: str) -> access.User:
    """The user with the roles that count now."""
    admin = await connection.scalar(sa.select(users.c.admin).where(users.c.login == login, users.c.enabled))
    rows = await connection.execute(
        sa.select(memberships.c.project, memberships.c.role).where(memberships.c.login == login)
    )
    roles = {row.project: access.Role(row.role) for row in rows} if admin is not None else {}
    return access.User(login, admin=bool(admin), roles=roles)


async def check_project(connection: AsyncConnection, project: str) -> None:
    """Raise `UserError` if a project that was asked for by name is gone."""
    if await connection.scalar(sa.select(projects.c.id).where(projects.c.id == project)) is None:
        raise UserError("project-unknown", f"Project {project} does not exist.")


async def open_entries(
    connection: AsyncConnection, batch: Batch, identities: Mapping[str, Identity], site_id: str
) -> Mapping[str, str]:
    """Study UID -> session ID of the import's entry, opened if no other batch has (docs/flow.md).

    Two batches that open at once wait for each other on the unique index and agree. A folder that is taken gets a
    suffix (import semantics §2.2).
    """
    timestamp = names.prearchive_timestamp(batch.received_at.astimezone(UTC))
    for _ in range(_OPENING_ROUNDS):
        found = await _find_entries(connection, batch, identities.keys())
        missing = {uid: identity for uid, identity in identities.items() if uid not in found}
        if not missing:
            return found
        numbers = await connection.scalars(
            sa.select(session_ids.next_value()).select_from(sa.func.generate_series(1, len(missing)).alias())
        )
        ids = [f"{site_id}_E{number:05d}" for number in numbers]
        rows = _entries(batch, missing, ids, await _taken_folders(connection, timestamp))
        await connection.execute(insert(sessions).values(rows).on_conflict_do_nothing())
    raise Retryable("folder-busy", "no free prearchive folder was found")


async def _find_entries(connection: AsyncConnection, batch: Batch, study_uids: Iterable[str]) -> dict[str, str]:
    columns = sessions.c
    rows = await connection.execute(
        sa.select(_STUDY_KEY.label("study_key"), columns.id).where(
            columns.opened_by == batch.import_id, _STUDY_KEY.in_(sorted(study_uids))
        )
    )
    return {row.study_key: row.id for row in rows}


async def _taken_folders(connection: AsyncConnection, timestamp: str) -> set[tuple[str | None, str]]:
    columns = sessions.c
    rows = await connection.execute(
        sa.select(columns.project, columns.folder).where(
            columns.timestamp == timestamp, columns.place.in_(("opening", "prearchive"))
        )
    )
    return {(row.project, row.folder) for row in rows}


def _entries(
    batch: Batch, identities: Mapping[str, Identity], ids: Iterable[str], taken: set[tuple[str | None, str]]
) -> list[dict[str, object]]:
    """The rows of new entries, in the order of their study UIDs, each with a folder of its own."""
    rows = []
    for (study_uid, identity), session_id in zip(sorted(identities.items()), ids, strict=True):
        folder = _free_folder(identity, taken)
        taken.add((identity.project, folder))
        rows.append(entry_row(batch, study_uid, identity, session_id) | {"folder": folder})
    return rows


def _free_folder(identity: Identity, taken: Collection[tuple[str | None, str]]) -> str:
    folder, number = identity.folder, 0
    while (identity.project, folder) in taken:
        number += 1
        folder = f"{identity.folder}_{number}"
    return folder


def entry_row(batch: Batch, study_uid: str, identity: Identity, session_id: str) -> dict[str, object]:
    """The row of an import's own entry, as it is opened."""
    request = batch.request
    importer = IMPORTERS[request.handler]
    return {
        "id": session_id,
        "place": "opening",
        "status": "BUILDING",
        "project": identity.project,
        "subject_label": identity.subject_label,
        "label": identity.session_label,
        "timestamp": names.prearchive_timestamp(batch.received_at.astimezone(UTC)),
        "prefix": names.session_prefix(identity.project, session_id),
        "study_instance_uid": uid_of(study_uid),
        "study_key": None if uid_of(study_uid) else study_uid,
        "auto_archive": identity.auto_archive if request.auto_archive is None else request.auto_archive,
        "prevent_auto_commit": request.prevent_auto_commit or importer.entries is Entries.OWN,
        "prevent_anon": request.prevent_anon,
        "visit": request.visit,
        "protocol": request.protocol,
        "timezone": request.timezone,
        "source": request.source or importer.default_source,
        "opened_by": batch.import_id,
        "created_by": batch.login,
    }


async def join_import(
    connection: AsyncConnection, batch: Batch, studies: Iterable[Study], entries: Mapping[str, str]
) -> None:
    """Say which sessions the import has, and which member came first; the lowest of all batches stays."""
    rows = sorted(((entries[study.study_instance_uid], study.ordinal) for study in studies), key=lambda row: row[0])
    if not rows:
        return
    statement = insert(import_sessions).values(
        [{"import_id": batch.import_id, "session_id": session, "ordinal": ordinal} for session, ordinal in rows]
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["import_id", "session_id"],
            set_={"ordinal": sa.func.least(import_sessions.c.ordinal, statement.excluded.ordinal)},
        )
    )

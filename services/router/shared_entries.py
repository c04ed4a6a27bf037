"""The open prearchive entry of a study, which all imports of gradual-DICOM and DICOM-zip share (architecture §5).

Rows are locked FOR KEY SHARE: imports never wait for each other, but a command on the entry (FOR UPDATE) comes
before or after an import's joining, never between. What joined first is merged first; what comes later finds the
entry where the command has left it, and opens a new one if that is not the prearchive.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import names
from libs.common.errors import Retryable, UserError
from libs.common.requests import Area, ImportRequest
from libs.common.schema import import_sessions, session_ids, sessions
from services.router.batches import Batch
from services.router.entries import entry_row
from services.router.rules import Identity

NO_LABEL = "dicom_upload"
"""What XNAT calls a session of which nothing says how it is called (import semantics §3.3)."""
_ROUNDS = 20
_PROJECT = sa.func.coalesce(sessions.c.project, sa.literal_column(f"'{names.UNASSIGNED}'"))
_IS_OPEN = sa.and_(sessions.c.is_shared, sessions.c.place == sa.literal_column("'prearchive'"))
"""As the index `sessions_shared` has them, so that it is used whatever the other values are."""


async def find_or_open(
    connection: AsyncConnection, batch: Batch, identities: Mapping[str, Identity], site_id: str
) -> Mapping[str, str]:
    """Study UID -> session ID of the study's open entry, held against commands until the transaction ends.

    An import keeps the entry that an earlier batch of it has found. Two that open at once wait for each other on the
    unique index and agree.

    Raises:
        UserError: `dest` names an entry of another study.
        Retryable: `dest` names an entry that another import is opening, or no free timestamp was found.
    """
    await _take_turns(connection, batch.import_id)
    found = await _of_import(connection, batch.import_id, identities)
    for _ in range(_ROUNDS):
        missing = {uid: identities[uid] for uid in sorted(identities.keys() - found.keys())}
        found |= await _find(connection, batch.request, missing)
        missing = {uid: identity for uid, identity in missing.items() if uid not in found}
        if not missing:
            return found
        await _open(connection, batch, missing, site_id)
    raise Retryable("timestamp-busy", "no free prearchive timestamp was found")


async def _take_turns(connection: AsyncConnection, import_id: UUID) -> None:
    """Batches of one import wait for each other: headers that name a study differently must not part it."""
    key = sa.func.hashtextextended(f"entries/{import_id}", 0)
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


async def _of_import(connection: AsyncConnection, import_id: UUID, study_uids: Collection[str]) -> dict[str, str]:
    columns = sessions.c
    query = (
        sa.select(columns.study_instance_uid, columns.id)
        .join_from(import_sessions, sessions, import_sessions.c.session_id == columns.id)
        .where(
            import_sessions.c.import_id == import_id,
            columns.study_instance_uid.in_(list(study_uids)),
            columns.place == "prearchive",
        )
    )
    return {row.study_instance_uid: row.id for row in await connection.execute(_held(query))}


def _held(query: "sa.Select[tuple[str, str]]") -> "sa.Select[tuple[str, str]]":
    return query.order_by(sessions.c.id).with_for_update(read=True, key_share=True, of=sessions)


async def _find(connection: AsyncConnection, request: ImportRequest, missing: Mapping[str, Identity]) -> dict[str, str]:
    """The open entries of these studies: those of their key, or the one that `dest` names."""
    if not missing:
        return {}
    if request.destination.timestamp and request.destination.folder:
        return await _find_named(connection, request, missing)
    columns = sessions.c
    query = sa.select(columns.study_instance_uid, columns.id).where(_IS_OPEN, _is_any_of(missing))
    return {row.study_instance_uid: row.id for row in await connection.execute(_held(query))}


def _is_any_of(missing: Mapping[str, Identity]) -> sa.ColumnElement[bool]:
    keys = [(one.project or names.UNASSIGNED, uid, _label(one)) for uid, one in missing.items()]
    return sa.tuple_(_PROJECT, sessions.c.study_instance_uid, sessions.c.label).in_(keys)


async def _find_named(
    connection: AsyncConnection, request: ImportRequest, missing: Mapping[str, Identity]
) -> dict[str, str]:
    columns, wanted = sessions.c, request.destination
    projects = {identity.project or names.UNASSIGNED for identity in missing.values()}
    query = sa.select(columns.study_instance_uid, columns.id, columns.place).where(
        _PROJECT.in_(projects),
        columns.timestamp == wanted.timestamp,
        columns.folder == wanted.folder,
        columns.place.in_(("opening", "prearchive")),
    )
    row = (await connection.execute(_held(query))).first()
    if len(missing) > 1 or (row is not None and row.study_instance_uid not in missing):
        raise UserError(
            "dest-other-study",
            f"Parameter dest: {wanted.folder} is the entry of one study, and this upload holds another. "
            "Leave the folder out, or name a new one.",
        )
    if row is not None and row.place == "opening":
        raise Retryable("entry-opening", "another import is opening the entry that dest names")
    return {} if row is None else {row.study_instance_uid: row.id}


async def _open(connection: AsyncConnection, batch: Batch, missing: Mapping[str, Identity], site_id: str) -> None:
    """Open what is missing, as far as nobody else does at this moment."""
    numbers = await connection.scalars(
        sa.select(session_ids.next_value()).select_from(sa.func.generate_series(1, len(missing)).alias())
    )
    ids = [f"{site_id}_E{number:05d}" for number in numbers]
    stamp = batch.request.destination.timestamp or names.prearchive_timestamp(batch.received_at.astimezone(UTC))
    spots = await _taken_spots(connection, stamp)
    rows = []
    for (uid, identity), session_id in zip(sorted(missing.items()), ids, strict=True):
        spot = _free_spot(batch.request, identity, stamp, spots)
        spots.add(spot)
        rows.append(_row(batch, uid, identity, session_id) | {"timestamp": spot.timestamp, "folder": spot.folder})
    taken = await _taken_keys(connection, missing) if batch.request.destination.folder else set()
    rows = [row | {"is_shared": row["study_instance_uid"] not in taken} for row in rows]
    await connection.execute(insert(sessions).values(rows).on_conflict_do_nothing())


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where an entry is in the prearchive."""

    project: str | None
    timestamp: str
    folder: str


async def _taken_spots(connection: AsyncConnection, stamp: str) -> set[_Spot]:
    columns = sessions.c
    query = sa.select(columns.project, columns.timestamp, columns.folder).where(
        sa.or_(columns.timestamp == stamp, columns.timestamp.startswith(f"{stamp}_", autoescape=True)),
        columns.place.in_(("opening", "prearchive")),
    )
    return {_Spot(row.project, row.timestamp, row.folder) for row in await connection.execute(query)}


def _free_spot(request: ImportRequest, identity: Identity, stamp: str, taken: Collection[_Spot]) -> _Spot:
    """Where `dest` says; else the first of `stamp`, `stamp_1`, … where nothing of that folder is (§2.2)."""
    folder = request.destination.folder or _label(identity)
    spot, number = _Spot(identity.project, stamp, folder), 0
    is_named = request.destination.timestamp and request.destination.folder
    while spot in taken and not is_named:
        number += 1
        spot = _Spot(identity.project, f"{stamp}_{number}", folder)
    return spot


async def _taken_keys(connection: AsyncConnection, missing: Mapping[str, Identity]) -> set[str]:
    """The studies that have an open entry elsewhere: one that `dest` names is beside it, and not shared by key."""
    query = sa.select(sessions.c.study_instance_uid).where(_IS_OPEN, _is_any_of(missing))
    return set(await connection.scalars(query))


def _label(identity: Identity) -> str:
    return identity.session_label or NO_LABEL


def _row(batch: Batch, study_uid: str, identity: Identity, session_id: str) -> dict[str, object]:
    is_direct = _is_direct(batch.request) and identity.project is not None
    return entry_row(batch, study_uid, identity, session_id) | {
        "place": "prearchive",
        "status": "RECEIVING",
        "label": _label(identity),
        "auto_archive": _auto_archive(batch.request, identity),
        "opened_by": None,
        "is_direct": is_direct,
    }


def _is_direct(request: ImportRequest) -> bool:
    return request.direct_archive and request.destination.area is not Area.PREARCHIVE


def _auto_archive(request: ImportRequest, identity: Identity) -> bool | None:
    """`dest` decides, then `Direct-Archive`, then the parameter, then the header; None: the project (§2, §4.1)."""
    if request.destination.area is not None:
        return request.destination.area is Area.ARCHIVE
    if request.direct_archive:
        return True
    return identity.auto_archive if request.auto_archive is None else request.auto_archive

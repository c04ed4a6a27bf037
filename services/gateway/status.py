"""How an import stands, for its sender: from the rows alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import User
from libs.common.errors import UserError
from libs.common.schema import import_batches, imports
from services.gateway.imports import SessionOutcome, outcomes


@dataclass(frozen=True, slots=True)
class Counts:
    """Members of an import, and how far they are."""

    members: int
    members_routed: int
    members_staged: int
    bytes: int
    bytes_staged: int


@dataclass(frozen=True, slots=True)
class Status:
    """One import; `state` is how far it is, or its outcome."""

    import_id: UUID
    state: str
    code: str
    detail: str
    size_bytes: int
    sha256: str
    times: dict[str, datetime | None]
    counts: Counts
    sessions: tuple[SessionOutcome, ...]


async def find_status(connection: AsyncConnection, user: User, import_id: UUID) -> Status:
    """The status of an import. Raises `UserError` unless it is the user's, or he is an administrator."""
    row = (await connection.execute(sa.select(imports).where(imports.c.id == import_id))).one_or_none()
    if row is None or not (user.admin or row.login == user.login):
        raise UserError("not-found", "There is no such import.")
    counts = await _counts(connection, import_id)
    times = ("received_at", "told_at", "listed_at", "staged_at", "merged_at", "finished_at")
    return Status(
        import_id=import_id,
        state=_state(row, counts),
        code=row.code,
        detail=row.detail,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        times={name: row._mapping[name] for name in times},
        counts=counts,
        sessions=await outcomes(connection, import_id),
    )


async def _counts(connection: AsyncConnection, import_id: UUID) -> Counts:
    batch = import_batches.c
    is_routed, is_staged = batch.routed_at.is_not(None), batch.staged_at.is_not(None)
    sums = (
        sa.func.sum(batch.member_count),
        sa.func.sum(batch.member_count).filter(is_routed),
        sa.func.sum(batch.member_count).filter(is_staged),
        sa.func.sum(batch.size_bytes),
        sa.func.sum(batch.size_bytes).filter(is_staged),
    )
    row = (await connection.execute(sa.select(*sums).where(batch.import_id == import_id))).one()
    return Counts(*(int(value or 0) for value in row))


def _state(row: sa.Row[*tuple[Any, ...]], counts: Counts) -> str:
    if row.outcome is not None:
        return str(row.outcome)
    steps = (
        ("cataloguing", row.merged_at is not None),
        ("merging", row.staged_at is not None),
        ("staging", row.listed_at is not None and counts.members_routed == counts.members),
        ("routing", row.listed_at is not None),
        ("listing", row.told_at is not None),
    )
    return next((state for state, is_reached in steps if is_reached), "received")

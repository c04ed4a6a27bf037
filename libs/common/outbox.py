"""The row that tells of a session's change, written in the transaction that changes it (architecture §4)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.messages import SessionEvent, derive
from libs.common.names import UNASSIGNED
from libs.common.schema import session_changes, sessions


@dataclass(frozen=True, slots=True)
class Site:
    """What the settings say about this installation."""

    site_id: str
    bucket: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Who changes a session: an import or a command, and whose it is."""

    login: str
    import_id: UUID | None = None
    command_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What has become of a session. `resources` are the rows whose catalogs are to be written."""

    session_id: str
    verb: str
    resources: Sequence[int] = ()
    scans: Collection[str] = ()
    files_added: int = 0
    files_replaced: int = 0
    files_removed: int = 0
    pipelines: bool = False
    reason: str = ""


async def write_change(connection: AsyncConnection, change: Change, origin: Origin, site: Site) -> None:
    """Write the change of a session whose row is as it will be, with its new revision.

    Objects may lie below the prefixes of sessions merged into it, so the event names those too.
    """
    columns = sessions.c
    row = (
        await connection.execute(
            sa.select(
                columns.place, columns.deleted_from, columns.project, columns.prefix, columns.revision, columns.xsi_type
            ).where(columns.id == change.session_id)
        )
    ).one()
    files, size_bytes, prefixes = await _totals(connection, change.session_id, row.prefix)
    event = SessionEvent(
        session_id=change.session_id,
        import_id=origin.import_id,
        revision=row.revision,
        xsi_type=row.xsi_type,
        scans=sorted(change.scans),
        files_added=change.files_added,
        files_replaced=change.files_replaced,
        files_removed=change.files_removed,
        file_count=files,
        size_bytes=size_bytes,
        bucket=site.bucket,
        prefixes=[row.prefix, *prefixes],
        reason=change.reason,
        place="archive" if "archive" in (row.place, row.deleted_from) else "prearchive",
    )
    await connection.execute(
        sa.insert(session_changes).values(
            session_id=change.session_id,
            revision=row.revision,
            import_id=origin.import_id,
            command_id=origin.command_id,
            verb=change.verb,
            event_id=derive("session", change.session_id, row.revision),
            pipelines=change.pipelines,
            resources=list(change.resources),
            event=event.model_dump(mode="json"),
            project=row.project or UNASSIGNED,
            changed_at=datetime.now(UTC),
        )
    )


async def _totals(connection: AsyncConnection, session_id: str, prefix: str) -> tuple[int, int, list[str]]:
    totals = (
        await connection.execute(
            sa.text(
                "select coalesce(sum(file_count), 0) as files, coalesce(sum(size_bytes), 0) as bytes"
                " from resources where session_id = :id"
            ),
            {"id": session_id},
        )
    ).one()
    prefixes = await connection.scalars(
        sa.text(
            "select distinct substring(object_key from '^(?:[^/]+/){3}') from files"
            " where session_id = :id and not starts_with(object_key, :prefix) order by 1"
        ),
        {"id": session_id, "prefix": prefix},
    )
    return int(totals.files), int(totals.bytes), [one for one in prefixes if one]


async def all_resources(connection: AsyncConnection, session_id: str) -> list[int]:
    """The rows of a session's resources: what a change of the whole session writes again."""
    rows = await connection.scalars(
        sa.text("select id from resources where session_id = :id order by id"), {"id": session_id}
    )
    return list(rows)

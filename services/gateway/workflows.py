"""AutoRun as XNAT's workflow records, from the changes that ask for it (import semantics §8). There are no others."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import User
from libs.common.schema import projects, session_changes, sessions
from services.gateway.places import is_readable
from services.gateway.tables import Item, moment

AUTO_RUN = "xnat_tools/AutoRun.xml"
TYPE = "wrk:workflowData"


async def list_workflows(connection: AsyncConnection, user: User, asked: Mapping[str, str]) -> list[Item]:
    """The records of sessions that the user may read, newest first; `id`, `pipeline_name` and `status` filter.

    AutoRun is Queued until its session's documents are written and `pipeline.requested` is told, then Complete: what
    subscribers make of that event is theirs.
    """
    if _asked(asked, "pipeline_name") not in {"", AUTO_RUN}:
        return []
    columns = session_changes.c
    query = (
        sa.select(
            columns.session_id, columns.revision, columns.changed_at, columns.catalogued_at, sessions.c.xsi_type,
            sessions.c.project, sessions.c.created_by,
        )
        .join_from(session_changes, sessions, sessions.c.id == columns.session_id)
        .join(projects, projects.c.id == sessions.c.project)
        .where(columns.pipelines, is_readable(user))
        .order_by(columns.changed_at.desc(), columns.revision.desc())
        .limit(1000)
    )  # fmt: skip
    if session_id := _asked(asked, "id"):
        query = query.where(columns.session_id == session_id)
    records = [_record(row) for row in await connection.execute(query)]
    status = _asked(asked, "status").lower()
    return [each for each in records if not status or each.fields["status"].lower() == status]


def _asked(asked: Mapping[str, str], name: str) -> str:
    return (asked.get(name) or asked.get(f"{TYPE}/{name}") or "").strip()


def _record(row: sa.Row[*tuple[Any, ...]]) -> Item:
    fields = {
        "wrk_workflowData_id": f"{row.session_id}-{row.revision}",
        "id": row.session_id,
        "data_type": row.xsi_type,
        "ExternalID": row.project,
        "pipeline_name": AUTO_RUN,
        "create_user": row.created_by,
        "launch_time": moment(row.changed_at),
        "status": "Queued" if row.catalogued_at is None else "Complete",
        "percentageComplete": "0" if row.catalogued_at is None else "100.0",
    }
    return Item(TYPE, fields)

"""The public events, made from the rows that tell of them (pure): the same rows give the same events, word for word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.messages import Event, ImportEvent, SessionEvent, derive, event_source
from libs.common.names import UNASSIGNED

REFRESHED = "catalog-refreshed"
"""The reason of a change that a refresh has made."""
IN_PREARCHIVE = frozenset({"received", "conflict"})
"""The verbs that tell of sessions in the prearchive, where the event does not say its place (architecture §4)."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row of `session_changes`. `event` names the catalogs once `is_catalogued`, not before."""

    session_id: str
    revision: int
    import_id: UUID | None
    command_id: UUID | None
    verb: str
    event_id: UUID
    pipelines: bool
    resources: Sequence[int]
    event: SessionEvent
    project: str
    changed_at: datetime
    is_catalogued: bool


@dataclass(frozen=True, slots=True)
class EndedImport:
    """An import with its outcome, and what became of its members and sessions."""

    import_id: UUID
    outcome: str
    code: str
    size_bytes: int
    finished_at: datetime
    projects: Sequence[str]
    sessions: Sequence[str]
    verdicts: Mapping[str, int]


def session_events(change: Change, site_id: str) -> list[Event]:
    """What the world is told of a change: itself, pipelines wanted for an archived session, catalogs refreshed."""
    is_archived = change.event.place == "archive" if change.event.place else change.verb not in IN_PREARCHIVE
    place = "/archive/experiments" if is_archived else "/prearchive"
    attributes = {
        "source": event_source(site_id),
        "subject": f"{place}/{change.session_id}",
        "time": change.changed_at,
        "sequence": f"{change.revision:020d}",
        "partitionkey": change.session_id,
        "correlationid": str(change.import_id or change.command_id or change.event_id),
        "project": change.project or UNASSIGNED,
    }
    events = [Event.of(f"session.{change.verb}", event_id=change.event_id, data=change.event, **attributes)]
    if change.pipelines and is_archived:
        wanted = derive(change.event_id, "pipeline")
        events.append(Event.of("pipeline.requested", event_id=wanted, data=change.event, **attributes))
    if change.event.reason == REFRESHED:
        refreshed = derive(change.event_id, "catalog")
        events.append(Event.of("catalog.refreshed", event_id=refreshed, data=change.event, **attributes))
    return events


def import_event(ended: EndedImport, site_id: str) -> Event:
    """`import.completed`, `import.rejected` or `import.failed`."""
    data = ImportEvent(
        import_id=ended.import_id,
        size_bytes=ended.size_bytes,
        sessions=list(ended.sessions),
        verdicts=dict(ended.verdicts),
        code=ended.code,
    )
    project = ended.projects[0] if len(ended.projects) == 1 else UNASSIGNED
    return Event.of_import(ended.outcome, data, time=ended.finished_at, project=project, site_id=site_id)

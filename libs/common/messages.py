"""Every message contract: the private work messages and the public CloudEvents. Nothing else defines one.

A message says what has happened. Bodies carry identifiers, counts and digests, never PHI: no labels, no names of files.
"""

from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

NAMESPACE = UUID("5b1c1b0e-54a4-5f0e-9d7e-0a6f8a8f7d10")
"""Namespace of every derived id (RFC 9562 §5.5): the same fact always gets the same id."""


def derive(*parts: object) -> UUID:
    """The id that belongs to `parts`, the same on every delivery."""
    return uuid5(NAMESPACE, "/".join(str(part) for part in parts))


class Message(BaseModel):
    """A private message on `scandock.work`: frozen, ignores fields of a newer version, belongs to one piece of work."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str]

    @property
    def work_id(self) -> UUID:
        """The import or the command that it belongs to; the correlation id on the wire."""
        raise NotImplementedError

    @property
    def message_id(self) -> UUID:
        """Derived from the contract and the contents, so a repeat is recognisable."""
        return derive(self.TYPE, self.model_dump_json())


class ImportMessage(Message):
    """A message that belongs to an import."""

    import_id: UUID

    @property
    def work_id(self) -> UUID:
        """The import."""
        return self.import_id


class ImportReceived(ImportMessage):
    """An upload is stored and its `imports` row committed."""

    TYPE: ClassVar[str] = "import.received.v1"


class MembersFound(ImportMessage):
    """A batch of members is listed: its rows are in `import_members`."""

    TYPE: ClassVar[str] = "members.found.v1"

    batch_id: UUID


class MembersRouted(ImportMessage):
    """Every member of a batch has its session, or the reason why it has none."""

    TYPE: ClassVar[str] = "members.routed.v1"

    batch_id: UUID


class ImportStaged(ImportMessage):
    """Every member of an import is stored or has its reason: the import can be merged."""

    TYPE: ClassVar[str] = "import.staged.v1"


class SessionChanged(ImportMessage):
    """A session has a new revision: the change's row is in `session_changes`.

    `import_id` is the import that has changed it, or the command.
    """

    TYPE: ClassVar[str] = "session.changed.v1"

    session_id: str
    revision: int


class ImportFinished(ImportMessage):
    """An import has its outcome, and what it stored can be read."""

    TYPE: ClassVar[str] = "import.finished.v1"


class CommandReceived(Message):
    """A command's row is in `commands`. Archiver and catalog both hear of it; whose kind it is does it."""

    TYPE: ClassVar[str] = "command.received.v1"

    command_id: UUID

    @property
    def work_id(self) -> UUID:
        """The command."""
        return self.command_id


class Event(BaseModel):
    """A public event: CloudEvents 1.0 in structured JSON on `scandock.events` (architecture §4).

    `type` is `org.scandock.{entity}.{verb}.v1`. `sequence` is the session's revision, or 0-based step of an import,
    as 20 digits: of two events with one `subject`, the lower may be dropped. `time` is that of the commit it tells of.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    specversion: str = "1.0"
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    sequence: str
    partitionkey: str
    correlationid: str
    project: str
    data: "ImportEvent | SessionEvent"

    @property
    def routing_key(self) -> str:
        """`{entity}.{verb}.v1.{project}`."""
        return f"{self.type.removeprefix('org.scandock.')}.{self.project}"

    @classmethod
    def of(cls, verb: str, *, event_id: UUID, data: "ImportEvent | SessionEvent", **attributes: object) -> Self:
        """The event `verb` (such as `session.archived`) about `data`."""
        return cls.model_validate(
            {"id": event_id, "type": f"org.scandock.{verb}.v1", "data": data.model_dump(), **attributes}
        )

    @classmethod
    def of_import(cls, verb: str, data: "ImportEvent", *, time: datetime, project: str, site_id: str) -> Self:
        """The event `import.{verb}`: of an import's two steps, `received` is the first, its end the second."""
        return cls.of(
            f"import.{verb}",
            event_id=derive("import", data.import_id, verb),
            data=data,
            source=event_source(site_id),
            subject=f"/imports/{data.import_id}",
            time=time,
            sequence=f"{int(verb != 'received'):020d}",
            partitionkey=str(data.import_id),
            correlationid=str(data.import_id),
            project=project,
        )


def event_source(site_id: str) -> str:
    """Who tells: CloudEvents' `source`."""
    return f"/scandock/{site_id}"


class ImportEvent(BaseModel):
    """`import.received`, `import.completed`, `import.rejected`, `import.failed`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    import_id: UUID
    size_bytes: int
    sessions: list[str] = []
    verdicts: dict[str, int] = {}
    code: str = ""


class SessionEvent(BaseModel):
    """`session.received` and its other verbs, `pipeline.requested`, `catalog.refreshed` (architecture §4).

    `files_added`, `files_replaced` and `files_removed` count this change (a refresh has replaced what it found with
    other bytes); `file_count` and `size_bytes` the whole session; `prefixes` are the places in the bucket under which
    its objects and catalogs lie. `place` is `archive` or `prearchive`: where it is, or where it was before it was
    deleted; "" in older events, of which the verb says it.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    session_id: str
    import_id: UUID | None
    revision: int
    xsi_type: str
    scans: list[str]
    files_added: int
    files_replaced: int
    files_removed: int = 0
    file_count: int
    size_bytes: int
    bucket: str
    prefixes: list[str]
    catalogs: list[str] = []
    reason: str = ""
    place: str = ""


Event.model_rebuild()

Output = Message | Event
"""What a handler may tell: a private message, or a public event."""

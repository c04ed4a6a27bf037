"""What somebody wants done to one session, typed once (architecture §2, §5; import semantics §9)."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_serializer

from libs.common.requests import Duplicates, ImportRequest, Overwrite


class CommandKind(StrEnum):
    """What a command does. All are the archiver's but `REFRESH`, which is the catalog service's."""

    BUILD = "build"
    COMMIT = "commit"
    ARCHIVE = "archive"
    VALIDATE = "validate"
    MOVE = "move"
    DELETE = "delete"
    SET_STATUS = "set-status"
    RESTORE = "restore"
    PURGE = "purge"
    REFRESH = "refresh"


class RefreshOption(StrEnum):
    """What a refresh does besides looking (import semantics §9.2)."""

    APPEND = "append"
    DELETE = "delete"
    CHECKSUM = "checksum"
    POPULATE_STATS = "populateStats"


class _Request(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")


class EntryFields(_Request):
    """What a commit may say of its entry; "" leaves what is there."""

    visit: str = ""
    protocol: str = ""
    timezone: str = ""
    source: str = ""


class Build(_Request):
    """Make a session of what the prearchive entry has received: scan IDs, types, documents; READY afterwards."""

    kind: Literal[CommandKind.BUILD] = CommandKind.BUILD
    fields: EntryFields = EntryFields()


class Archive(_Request):
    """Let a prearchive entry join the archive. Labels that are not given are the entry's own (§7.2)."""

    kind: Literal[CommandKind.ARCHIVE] = CommandKind.ARCHIVE
    subject: str | None = None
    session: str | None = None
    overwrite: Overwrite = Overwrite.NONE
    overwrite_files: bool = False
    duplicates: Duplicates = Duplicates.IDENTICAL
    quarantine: bool | None = None
    trigger_pipelines: bool = True
    xml_paths: dict[str, str] = {}


class Commit(_Request):
    """Build, then archive where `auto_archive`, the entry or its project says so (§9.4)."""

    kind: Literal[CommandKind.COMMIT] = CommandKind.COMMIT
    fields: EntryFields = EntryFields()
    auto_archive: bool | None = None
    archive: Archive = Archive()

    @classmethod
    def of_import(cls, request: ImportRequest) -> Self:
        """What an import's parameters ask of its entry's commit; its labels hold where they were named (§7.2)."""
        same = request.model_dump(include=set(Archive.model_fields) - {"kind", "subject", "session"})
        destination = request.destination
        return cls(
            fields=EntryFields.model_validate(request.model_dump(include=set(EntryFields.model_fields))),
            auto_archive=request.auto_archive,
            archive=Archive(subject=destination.subject, session=destination.session, **same),
        )


class Validate(_Request):
    """Say what would stop `archive`, and change nothing (§9.3)."""

    kind: Literal[CommandKind.VALIDATE] = CommandKind.VALIDATE
    archive: Archive = Archive()


class Move(_Request):
    """Give a prearchive entry to another project; None: to Unassigned."""

    kind: Literal[CommandKind.MOVE] = CommandKind.MOVE
    project: str | None


class Delete(_Request):
    """Take a session away; until the grace time ends it can be restored."""

    kind: Literal[CommandKind.DELETE] = CommandKind.DELETE


class SetStatus(_Request):
    """Give a prearchive entry this status; `reset-status` is READY (§9.4)."""

    kind: Literal[CommandKind.SET_STATUS] = CommandKind.SET_STATUS
    status: str


class Restore(_Request):
    """Undo the deletion of a session, or the replacing of files at `revision` (None: the last that replaced any)."""

    kind: Literal[CommandKind.RESTORE] = CommandKind.RESTORE
    revision: int | None = None


class Purge(_Request):
    """Remove a session for good: rows, objects, and the uploads that brought them. `reason` is kept for the audit."""

    kind: Literal[CommandKind.PURGE] = CommandKind.PURGE
    reason: str


class NameRange(_Request):
    """The names from `first` on, up to but without `end`, in the order of their UTF-8 bytes; "" is no bound."""

    first: str = ""
    end: str = ""

    def __contains__(self, name: object) -> bool:
        """Whether `name` lies in it."""
        return isinstance(name, str) and self.first <= name and (not self.end or name < self.end)


class Refresh(_Request):
    """Compare a session's catalogs with the bucket (§9.2).

    `folders` are those of resources below the session's prefix in XNAT's layout (`SCANS/4/DICOM`, `RESOURCES/NOTES`),
    or ones above them (`SCANS/4`); none means all. `names` bounds a part of a folder too large for one message.
    """

    kind: Literal[CommandKind.REFRESH] = CommandKind.REFRESH
    folders: tuple[str, ...] = ()
    names: NameRange = NameRange()
    options: frozenset[RefreshOption] = frozenset(RefreshOption)

    @field_serializer("options")
    def _in_order(self, options: frozenset[RefreshOption]) -> list[RefreshOption]:
        return sorted(options)  # the same request is the same row, whichever process writes it


Command = Build | Commit | Archive | Validate | Move | Delete | SetStatus | Restore | Purge | Refresh
_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="kind")])


def read_command(stored: object) -> Command:
    """The command as its row has it."""
    return _COMMAND.validate_python(stored)


class Line(_Request):
    """One finding of a validation: `type` is WARN, CONFLICT or FAIL, `code` XNAT's number (§9.3)."""

    code: int
    type: str
    message: str


class Refreshed(_Request):
    """What a refresh did to the resource at `folder`; `problem` says what it had to leave as it is."""

    folder: str
    added: int = 0
    modified: int = 0
    removed: int = 0
    problem: str = ""


class CommandResult(_Request):
    """What came of a command: `uri` is where the session is now, "" where it is no more, without `/data`."""

    uri: str = ""
    session_id: str = ""
    lines: tuple[Line, ...] = ()
    refreshed: tuple[Refreshed, ...] = ()

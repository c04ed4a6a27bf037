"""What a client asked of one import, typed once: XNAT's parameters are translated to this and go no further."""

from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Area(StrEnum):
    """Where a session is to live."""

    ARCHIVE = "archive"
    PREARCHIVE = "prearchive"


class Overwrite(StrEnum):
    """What may happen to a session that the archive already has (architecture §6)."""

    NONE = "none"
    APPEND = "append"
    DELETE = "delete"


class Duplicates(StrEnum):
    """What a file that the session already has means (architecture §6)."""

    IDENTICAL = "identical"
    CONFLICT = "conflict"
    KEEP = "keep"


class Atomicity(StrEnum):
    """Whether the sessions of one import land each by itself or all together (`strict=true`)."""

    SESSION = "session"
    IMPORT = "import"


class Unparsable(StrEnum):
    """What a member that is not DICOM means (`Ignore-Unparsable`); None = as its importer has it."""

    SKIP = "skip"
    REFUSE = "refuse"


class Naming(StrEnum):
    """What files are called (`rename`)."""

    SENDER = "sender"
    TEMPLATE = "template"


class Destination(BaseModel):
    """Where `dest` and the label parameters send an import; None = to be read from the headers.

    `project` is a project ID (aliases are resolved by the gateway). `timestamp` and `folder` name a prearchive entry.
    """

    model_config = ConfigDict(frozen=True)

    area: Area | None = None
    project: str | None = None
    subject: str | None = None
    session: str | None = None
    timestamp: str | None = None
    folder: str | None = None


class ImportRequest(BaseModel):
    """One import as its sender wants it. Stored with the import; unknown fields of a newer version are ignored."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    handler: str = "SI"  # importers.IMPORTERS
    destination: Destination = Destination()
    overwrite: Overwrite = Overwrite.NONE
    overwrite_files: bool = False
    duplicates: Duplicates = Duplicates.IDENTICAL
    atomicity: Atomicity = Atomicity.SESSION
    auto_archive: bool | None = None
    quarantine: bool | None = None
    trigger_pipelines: bool = True
    prevent_auto_commit: bool = False
    prevent_anon: bool = False
    unparsable: Unparsable | None = None
    naming: Naming = Naming.SENDER
    commit: bool = False  # build the entry within the import, and archive it if it is to be archived
    direct_archive: bool = False
    visit: str = ""
    protocol: str = ""
    timezone: str = ""
    source: str = ""
    xml_paths: dict[str, str] = {}
    audit: dict[str, str] = {}  # event_reason and its like, as sent

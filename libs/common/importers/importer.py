"""What an import handler is: facts that each service asks for, so that a new one is one file and one registration."""

from dataclasses import dataclass
from enum import StrEnum

from libs.common.requests import Unparsable


class Takes(StrEnum):
    """What an upload may be."""

    ANYTHING = "anything"
    """An archive of any form, or one file."""
    ARCHIVE = "archive"
    """An archive of any form."""
    ONE_FILE = "one-file"
    """One file that is no archive."""


class Reads(StrEnum):
    """What says where a member belongs."""

    HEADERS = "headers"
    """Its own header: DICOM, or ECAT 7 where the importer takes it."""
    DOCUMENTS = "documents"
    """The XNAT documents in the upload."""


class Entries(StrEnum):
    """Which prearchive entry a study of an import goes to (architecture §5)."""

    OWN = "own"
    """One that the import opens for itself."""
    SHARED = "shared"
    """The open one of its project, study and label, which stays open (RECEIVING) until it is built."""


@dataclass(frozen=True, slots=True)
class Names:
    """The parameters that name one part of the destination, best first: those that beat `dest`, those that fill it."""

    fill: tuple[str, ...]
    beat: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Importer:
    """One import handler. `unparsable` is what a member that is not DICOM means where the sender does not say."""

    name: str
    description: str
    takes: Takes
    reads: Reads
    entries: Entries
    unparsable: Unparsable
    takes_ecat: bool = False
    project: Names = Names(("PROJECT_ID", "project"))
    subject: Names = Names(("subject", "SUBJECT_ID", "subject_ID"))
    session: Names = Names(("session", "EXPT_LABEL", "EXPT_ID", "label"))
    """SI's, as it builds and archives (import semantics §1.2, §7.2)."""
    dest_commits: bool = False
    """Whether a `dest` means `action=commit`, and its area whether to archive (§2)."""
    default_source: str = ""
    """What XNAT writes as an entry's source where the sender gives none."""

"""`DICOM-zip`: the members of an archive as gradual-DICOM takes them (import semantics §3.4)."""

from libs.common.importers.importer import Entries, Importer, Names, Reads, Takes
from libs.common.requests import Unparsable

IMPORTER = Importer(
    name="DICOM-zip",
    description="DICOM objects in an archive; their sessions stay open for more until they are built",
    takes=Takes.ARCHIVE,
    reads=Reads.HEADERS,
    entries=Entries.SHARED,
    unparsable=Unparsable.REFUSE,
    project=Names(("PROJECT_ID",), beat=("project",)),
    subject=Names(("SUBJECT_ID", "subject_ID"), beat=("subject",)),
    session=Names(("EXPT_LABEL", "label"), beat=("session",)),
    dest_commits=True,
)

"""`gradual-DICOM`: one object a call (import semantics §3.3)."""

from libs.common.importers.importer import Entries, Importer, Names, Reads, Takes
from libs.common.requests import Unparsable

IMPORTER = Importer(
    name="gradual-DICOM",
    description="one DICOM object; its session stays open for more until it is built",
    takes=Takes.ONE_FILE,
    reads=Reads.HEADERS,
    entries=Entries.SHARED,
    unparsable=Unparsable.REFUSE,
    project=Names(("PROJECT_ID",)),  # not `project` (§1.2)
    subject=Names(("SUBJECT_ID",)),
    session=Names(("EXPT_LABEL",)),
)

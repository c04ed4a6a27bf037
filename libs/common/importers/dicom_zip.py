"""`DICOM-zip`: the members of an archive as gradual-DICOM takes them (import semantics §3.4)."""

from libs.common.importers.importer import Entries, Importer, Reads, Takes
from libs.common.requests import Unparsable

IMPORTER = Importer(
    name="DICOM-zip",
    description="DICOM objects in an archive; their sessions stay open for more until they are built",
    takes=Takes.ARCHIVE,
    reads=Reads.HEADERS,
    entries=Entries.SHARED,
    unparsable=Unparsable.REFUSE,
)

"""`SI`, XNAT's SessionImporter (import semantics §3.1)."""

from libs.common.importers.importer import Entries, Importer, Reads, Takes
from libs.common.requests import Unparsable

IMPORTER = Importer(
    name="SI",
    description="sessions of DICOM or ECAT files, in any archive or alone; what is neither is skipped",
    takes=Takes.ANYTHING,
    reads=Reads.HEADERS,
    entries=Entries.OWN,
    unparsable=Unparsable.SKIP,
    takes_ecat=True,
    default_source="SessionImporter",
)

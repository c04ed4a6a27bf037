"""`XAR`: XNAT documents in an archive, with the files that they describe (import semantics §3.6)."""

from libs.common.importers.importer import Entries, Importer, Reads, Takes
from libs.common.requests import Unparsable

IMPORTER = Importer(
    name="XAR",
    description="an archive of XNAT's documents, a session's, or scans or assessors of one, with their files",
    takes=Takes.ARCHIVE,
    reads=Reads.DOCUMENTS,
    entries=Entries.OWN,
    unparsable=Unparsable.SKIP,
)

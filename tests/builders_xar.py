"""XARs of assessors: documents as XNAT and its clients write them, with files beside them."""

NS = (
    'xmlns:xnat="http://nrg.wustl.edu/xnat" xmlns:icr="http://icr.ac.uk/icr"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)


def assessor(session: str, label: str = "QC1", note: str = "good", root: str = "xnat:QCManualAssessment") -> bytes:
    """A document of an assessor with one resource, DATA."""
    return (
        f'<{root} {NS} label="{label}"><xnat:date>2024-01-31</xnat:date><xnat:note>{note}</xnat:note>{OUT}'
        f"<xnat:imageSession_ID>{session}</xnat:imageSession_ID><xnat:rater>ann</xnat:rater></{root}>"
    ).encode()


def inner_assessor(label: str = "QC1") -> str:
    """An assessor within its session's document."""
    return (
        f'<xnat:assessors><xnat:assessor label="{label}" xsi:type="xnat:qcManualAssessorData">'
        f"<xnat:date>2024-01-31</xnat:date>{OUT}</xnat:assessor></xnat:assessors>"
    )


OUT = (
    '<xnat:out><xnat:file URI="DATA/DATA_catalog.xml" label="DATA" format="JSON" content="QC"'
    ' xsi:type="xnat:resourceCatalog"/></xnat:out>'
)
FILES = {"DATA/a.json": b"0123456789", "DATA/deep/b.txt": b"beside"}

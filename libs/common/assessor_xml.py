"""The XML of an assessor: its document as it was sent, with what is ours in it (pure; import semantics §6.4)."""

from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

from libs.common.xml_characters import ILLEGAL

XNAT = "http://nrg.wustl.edu/xnat"
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_BEFORE_FILES = frozenset(
    {
        *("sharing", "date", "time", "duration", "delay", "note", "investigator", "validation", "resources", "fields"),
        *("acquisition_site", "custom_fields", "provenance", "in"),
    }
)
"""What XNAT's schema has before an assessor's `out`."""


@dataclass(frozen=True, slots=True)
class AssessorFile:
    """One of its resources, as `xnat:file` tells of it: `uri` is that of its catalog."""

    uri: str
    label: str
    format: str
    content: str
    file_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Assessor:
    """An assessor with its resources; `document` is its XML as it is stored, without any."""

    id: str
    label: str
    project: str
    session_id: str
    xsi_type: str
    document: str
    files: Sequence[AssessorFile]


def assessor_root(assessor: Assessor) -> etree._Element:
    """The document as one of its own, with the root that it was sent with."""
    root = etree.fromstring(assessor.document, etree.XMLParser(resolve_entities=False, no_network=True))
    for name in ("ID", "label", "project"):
        if value := getattr(assessor, name.lower()):
            root.set(name, value)
    _session_of(root).text = assessor.session_id
    if assessor.files:
        out = etree.Element(f"{{{XNAT}}}out", nsmap={"xnat": XNAT})
        out.extend([_file(one) for one in assessor.files])
        root.insert(sum(_local(one) in _BEFORE_FILES for one in root), out)
    return root


def assessor_element(assessor: Assessor) -> etree._Element:
    """The same as an item of its session's list: `xnat:assessor` with its type."""
    root = assessor_root(assessor)
    root.tag = f"{{{XNAT}}}assessor"
    root.set(_XSI_TYPE, assessor.xsi_type)
    return root


def render_assessor(assessor: Assessor) -> bytes:
    """The document's bytes."""
    return etree.tostring(assessor_root(assessor), encoding="UTF-8", xml_declaration=True, pretty_print=True)


def _session_of(root: etree._Element) -> etree._Element:
    """The element that names the session; one behind those that come before it where the document has none."""
    for one in root:
        if _local(one).lower() == "imagesession_id":
            return one
    made = etree.Element(f"{{{XNAT}}}imageSession_ID", nsmap={"xnat": XNAT})
    root.insert(sum(_local(one) in _BEFORE_FILES for one in root), made)
    return made


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _file(file: AssessorFile) -> etree._Element:
    made = etree.Element(f"{{{XNAT}}}file", nsmap={"xnat": XNAT})
    values = {
        "URI": file.uri,
        "content": file.content,
        "file_count": str(file.file_count),
        "file_size": str(file.size_bytes),
        "format": file.format,
        "label": file.label,
    }
    for name, value in values.items():
        if value:
            made.set(name, ILLEGAL.sub("", value))
    made.set(_XSI_TYPE, "xnat:resourceCatalog")
    return made

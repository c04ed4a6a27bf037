"""XML from strangers (pure): parsed without entities, DTD, network or huge trees."""

from lxml import etree

from libs.common.errors import UserError

XNAT = "http://nrg.wustl.edu/xnat"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_DECLARATIONS = (b"<!doctype", b"<!entity")
ENTITIES = (
    "xar-doctype",
    "An XML document of the XAR has a document type or entities, which are not read: send it without.",
)


def parse(body: bytes) -> etree._Element | None:
    """The root of a document, None if `body` is no well-formed XML.

    Raises:
        UserError: it declares a document type or an entity (also where that is no XML any more).
    """
    plain = body.replace(b"\0", b"").lower()  # UTF-16 too
    if any(declaration in plain for declaration in _DECLARATIONS):
        raise UserError(*ENTITIES)
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    if root.getroottree().docinfo.internalDTD is not None:
        raise UserError(*ENTITIES)
    return root


def local(element: etree._Element) -> str:
    """An element's name without its namespace."""
    return etree.QName(element).localname


def text(element: etree._Element | None) -> str:
    """An element's own text."""
    return "" if element is None else (element.text or "").strip()


def child(element: etree._Element, name: str) -> etree._Element | None:
    """The first child of this name, in any namespace: XNAT's documents do not all declare it alike."""
    return next((one for one in element if local(one) == name), None)


def xsi_type(element: etree._Element) -> str:
    """Its `xsi:type` as XNAT's own prefix has it, such as `xnat:mrScanData`; "" where it has none."""
    prefix, _, name = (element.get(XSI_TYPE) or "").strip().rpartition(":")
    return f"xnat:{name}" if name and element.nsmap.get(prefix or None) == XNAT else ""

"""Elements in XNAT's namespace, and their children in the schema's order (pure)."""

from collections.abc import Mapping, Sequence

from lxml import etree

from services.catalog.xml_text import legal

XNAT = "http://nrg.wustl.edu/xnat"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
_PREFIXES = {"xnat": XNAT, "xsi": XSI}

Children = dict[str, list[etree._Element]]
"""Name -> the elements of that name, in whatever order they were found."""


def element(name: str, attributes: Mapping[str, str | None], xsi_type: str | None = None) -> etree._Element:
    """An element with those attributes that have a value: alphabetical, `xsi:type` last."""
    made = etree.Element(f"{{{XNAT}}}{name}", nsmap=_PREFIXES)
    for key in sorted(attributes):
        if value := legal(attributes[key] or ""):
            made.set(key, value)
    if xsi_type is not None:
        made.set(f"{{{XSI}}}type", xsi_type)
    return made


def text_element(name: str, text: str, attributes: Mapping[str, str | None] | None = None) -> etree._Element:
    """An element with text."""
    made = element(name, attributes or {})
    made.text = legal(text) or None
    return made


def add_texts(children: Children, texts: Mapping[str, str | None]) -> None:
    """Add an element for each text that has a value."""
    for name, text in texts.items():
        if told := legal(text or "").strip():
            children.setdefault(name, []).append(text_element(name, told))


def fill(parent: etree._Element, order: Sequence[str], children: Children) -> etree._Element:
    """Append `children` in the schema's order."""
    unknown = children.keys() - set(order)
    if unknown:
        raise ValueError(f"{parent.tag} has no {sorted(unknown)}")
    for name in order:
        parent.extend(children.get(name, ()))
    return parent

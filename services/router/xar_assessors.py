"""Assessors in the documents of a XAR: what has been made of a session, such as a quality check (pure; §3.6)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lxml import etree

from libs.common.errors import UserError
from libs.common.names import LABEL_LENGTH, clean_label
from libs.common.stated import StatedAssessor
from services.router.xar_values import leaves
from services.router.xar_xml import XNAT, XSI_TYPE, child, local, text

_FILES = ("out", "resources")
"""Where an assessor has its resources; `in` names what it was made of, which is no file of its own."""
_UNKEPT = (*_FILES, "sharing")
_NO_VALUES = (*_UNKEPT, "in", "imageSession_ID", "imageSession_id")
_KNOWN = frozenset({"ID", "label", "project"})
_TYPE = re.compile(r"[A-Za-z_][\w.-]*(:[A-Za-z_][\w.-]*)?", re.ASCII)
_TYPES = {"QCManualAssessment": "qcManualAssessorData"}
"""Elements of XNAT's schema whose type has another name."""
_OTHERS = ("Session", "Scan")
_CAPITALS = re.compile(r"^[A-Z]+(?![a-z])|^[A-Z]")
NO_LABEL = ("xar-assessor-label", "An assessor of the XAR has neither a label nor an ID: give each one.")
TWICE = ("xar-assessor-label", "Two assessors of the XAR have the same label: give each its own.")


@dataclass(frozen=True, slots=True)
class Assessor:
    """An assessor, and the elements of its resources."""

    stated: StatedAssessor
    resources: Sequence[etree._Element]


def session_of(root: etree._Element) -> str | None:
    """The session that an assessor's document names, "" where it leaves that empty; None if it is of no assessor."""
    namespace = etree.QName(root).namespace
    if not namespace or (namespace == XNAT and local(root).endswith(_OTHERS)):
        return None
    found = child(root, "imageSession_ID")
    found = child(root, "imageSession_id") if found is None else found
    return None if found is None else text(found)


def read_assessor(element: etree._Element) -> Assessor:
    """An assessor's own document, or its element in that of its session. Raises `UserError` if it has no label."""
    label = clean_label(element.get("label", "").strip() or element.get("ID", "").strip())[:LABEL_LENGTH]
    if not label:
        raise UserError(*NO_LABEL)
    found = leaves(element, _NO_VALUES)
    fields = {path: value for path, value in found.items() if path not in _KNOWN}
    resources = [one for name in _FILES for one in _below(element, name) if local(one) in {"file", "resource"}]
    return Assessor(StatedAssessor(label=label, xsi_type=_type_of(element), document="", fields=fields), resources)


def with_document(element: etree._Element, assessor: Assessor) -> StatedAssessor:
    """What is stated of it with its XML, from which its files are taken out: call it when they have been read."""
    for one in [one for one in element if local(one) in _UNKEPT]:
        element.remove(one)
    element.tail = None
    return assessor.stated.model_copy(update={"document": etree.tostring(element, encoding="unicode")})


def check_labels(labels: Iterable[str]) -> None:
    """Raise `UserError` where two are the same."""
    found = list(labels)
    if len(set(found)) < len(found):
        raise UserError(*TWICE)


def _below(element: etree._Element, name: str) -> Iterable[etree._Element]:
    found = child(element, name)
    return () if found is None else found


def _type_of(element: etree._Element) -> str:
    """Its `xsi:type`, else that of its name: `icr:roiCollectionData` of `icr:RoiCollection`."""
    stated = (element.get(XSI_TYPE) or "").strip()
    if _TYPE.fullmatch(stated):
        prefix, _, name = stated.rpartition(":")
        return f"{_prefix(element.nsmap.get(prefix or None), prefix)}{name}"
    name = _CAPITALS.sub(lambda capitals: capitals[0].lower(), local(element))
    type_ = _TYPES.get(local(element), f"{name.removesuffix('Data')}Data")
    return f"{_prefix(etree.QName(element).namespace, element.prefix or '')}{type_}"


def _prefix(namespace: str | None, written: str) -> str:
    """XNAT's own prefix whatever the document calls it; else the document's."""
    if namespace == XNAT:
        return "xnat:"
    return f"{written}:" if written else ""

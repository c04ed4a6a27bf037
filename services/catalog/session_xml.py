"""The XML of a session, in the prearchive or in the archive (import semantics §4.7, §6.4; pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from libs.common.assessor_xml import Assessor, assessor_element
from services.catalog.scan_xml import Home, InArchive, Resource, Scan, natural, resource_element, scan_element
from services.catalog.sender_fields import SenderFields, share_out
from services.catalog.values import Attributes, decimal, field_strength, xml_date, xml_time
from services.catalog.xml_elements import Children, add_texts, element, fill, text_element
from services.catalog.xml_text import DECLARATION, legal
from services.catalog.xnat_schema import (
    OTHER,
    PART_ATTRIBUTES,
    SESSION_EXTENSIONS,
    SESSION_PARTS,
    root_name,
    session_order,
)


@dataclass(frozen=True, slots=True)
class Session:
    """A session as of one revision. `subject` is a label in the prearchive, XNAT's ID in the archive.

    `fields` are XML path -> value, as its sender set them; `prearchive_path` is its URI while it is there.
    """

    home: Home
    project: str | None
    subject: str
    label: str
    prearchive_path: str
    study_instance_uid: str
    xsi_type: str
    attributes: Attributes
    fields: Mapping[str, str]
    visit: str
    protocol: str
    revision: int
    scans: Sequence[Scan]
    resources: Sequence[Resource]
    assessors: Sequence[Assessor] = ()


def render_session(session: Session) -> bytes:
    """The session's XML. The same rows give the same bytes; the revision stands in a comment behind the root."""
    xsi_type = session.xsi_type or OTHER
    sent = share_out(session.fields, xsi_type)
    root = element(root_name(xsi_type), {**_attributes(session), **sent.attributes})
    fill(root, session_order(xsi_type), _children(session, xsi_type, sent))
    body = etree.tostring(root, encoding="UTF-8", xml_declaration=False, pretty_print=True)
    return DECLARATION.encode() + body + f"<!-- revision {session.revision} -->\n".encode()


def _attributes(session: Session) -> dict[str, str | None]:
    attributes = session.attributes
    return {
        "ID": session.home.session_id if isinstance(session.home, InArchive) else None,
        "UID": session.study_instance_uid,
        "label": session.label,
        "modality": attributes.get("Modality"),
        "project": session.project,
        "protocol": session.protocol,
        "session_type": attributes.get("StudyDescription"),
        "study_id": attributes.get("StudyID"),
        "visit_id": session.visit,
    }


def _children(session: Session, xsi_type: str, sent: SenderFields) -> Children:
    children: Children = {}
    add_texts(children, {**_texts(session, xsi_type), **sent.texts})
    _add_parts(children, session.attributes, sent, xsi_type)
    variables = {"studyComments": session.attributes.get("StudyComments"), **sent.variables}
    _add_list(children, "fields", [text_element("field", t, {"name": n}) for n, t in variables.items() if t])
    scans = sorted(session.scans, key=lambda scan: natural(scan.scan_id))
    _add_list(children, "scans", [scan_element(scan, session.home) for scan in scans])
    assessors = sorted(session.assessors, key=lambda assessor: natural(assessor.id))
    _add_list(children, "assessors", [assessor_element(assessor) for assessor in assessors])
    own = sorted(session.resources, key=lambda resource: resource.label)
    _add_list(children, "resources", [resource_element("resource", None, r, session.home) for r in own])
    return children


def _texts(session: Session, xsi_type: str) -> dict[str, str | None]:
    attributes = session.attributes
    texts = {
        "date": xml_date(attributes.get("StudyDate")),
        "time": xml_time(attributes.get("StudyTime")),
        "acquisition_site": attributes.get("InstitutionName"),
        "subject_ID": session.subject,
        "operator": attributes.get("OperatorsName"),
        "prearchivePath": None if isinstance(session.home, InArchive) else session.prearchive_path,
        "dcmAccessionNumber": attributes.get("AccessionNumber"),
        "dcmPatientId": attributes.get("PatientID"),
        "dcmPatientName": attributes.get("PatientName"),
        "dcmPatientBirthDate": xml_date(attributes.get("PatientBirthDate")),
        "dcmPatientWeight": decimal(attributes.get("PatientWeight")),
    }
    if "start_time_injection" in SESSION_EXTENSIONS.get(xsi_type, ()):
        texts["start_time_injection"] = xml_time(attributes.get("InjectionTime"))
    if "fieldStrength" in SESSION_EXTENSIONS.get(xsi_type, ()):
        texts["fieldStrength"] = field_strength(attributes.get("MagneticFieldStrength"))
    return texts


def _add_parts(children: Children, attributes: Attributes, sent: SenderFields, xsi_type: str) -> None:
    """`scanner`, and `tracer` where there can be one, from headers and sender together; the others are the sender's."""
    headers: dict[str, dict[str, str | None]] = {
        "scanner": {
            "manufacturer": attributes.get("Manufacturer"),
            "model": attributes.get("ManufacturerModelName"),
        },
        "tracer": {
            "name": attributes.get("Radiopharmaceutical"),
            "isotope": attributes.get("Isotope"),
            "isotope/half-life": decimal(attributes.get("IsotopeHalfLife")),
        },
    }
    for name, order in SESSION_PARTS.items():
        if name not in session_order(xsi_type):
            continue
        values = {**headers.get(name, {}), **sent.parts.get(name, {})}
        told = _part_children(order, values)
        text = sent.texts.get("scanner") or attributes.get("StationName") or "" if name == "scanner" else ""
        made = text_element(name, text, {key: values.get(key) for key in PART_ATTRIBUTES[name]})
        fill(made, order, told)
        if made.text or made.attrib or len(made):
            children[name] = [made]


def _part_children(order: Sequence[str], values: Mapping[str, str | None]) -> Children:
    told: Children = {}
    add_texts(told, {child: values.get(child) for child in order})
    for path, value in values.items():
        child, _, attribute = path.partition("/")
        if attribute and value and child in told:
            told[child][0].set(attribute, legal(value))
    return told


def _add_list(children: Children, name: str, items: Sequence[etree._Element]) -> None:
    if items:
        made = element(name, {})
        made.extend(items)
        children[name] = [made]

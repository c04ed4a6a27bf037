"""The documents of a XAR: which session they are of, its scans, and where their files lie (pure; §3.6)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lxml import etree

from libs.common.errors import UserError
from libs.common.stated import StatedAssessor
from services.router.xar_assessors import check_labels, read_assessor, session_of, with_document
from services.router.xar_values import SCAN_KEYWORDS, SESSION_KEYWORDS, Values, leaves, sort_values, type_of
from services.router.xar_xml import child, local, parse, text

LONGEST_ID = 64
NO_DOCUMENT = (
    "xar-no-document",
    "Unable to locate XNAT xml document. Put that of the session, scans or assessor into the XAR, as a file *.xml.",
)
MIXED = ("xar-mixed", "Multiple data types cannot share a single XAR.  Please separate files into separate XARs")
SEVERAL_SESSIONS = ("xar-several-sessions", "XAR can only include data for one imaging session.")
NO_PROJECT = ("xar-no-project", "Could not process XAR file - Invalid project tag.")
NO_SUBJECT = ("xar-no-subject", "Could not process XAR file - Invalid subject.")
NO_SESSION = ("xar-no-session", "All XNAT xml documents must reference a valid Imaging Session.")
RECONSTRUCTION = (
    "xar-reconstruction",
    "Reconstructions in a XAR are not taken: send them as resources of the session.",
)
_LISTS = ("scans", "resources", "assessors", "reconstructions", "sharing")
_UNKEPT = ("reconstructions", "sharing")


class Kind(StrEnum):
    """What a document is of."""

    SESSION = "session"
    SCAN = "scan"
    ASSESSOR = "assessor"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as its document has it; `uri` is as written, below the document's folder."""

    uri: str
    label: str
    format: str
    content: str


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan of a document; `scan_id` is not empty."""

    scan_id: str
    series_instance_uid: str
    xsi_type: str
    type: str
    quality: str
    note: str
    modality: str
    values: Values
    resources: Sequence[Resource]


@dataclass(frozen=True, slots=True)
class Assessor:
    """An assessor of a document, with its files."""

    stated: StatedAssessor
    resources: Sequence[Resource]


@dataclass(frozen=True, slots=True)
class Document:
    """All documents of one XAR as one. Those of scans and assessors say by `session` (ID or label) which is theirs.

    `unkept` names the elements that have no place here.
    """

    kind: Kind
    project: str = ""
    subject: str = ""
    session: str = ""
    study_instance_uid: str = ""
    xsi_type: str = ""
    visit: str = ""
    protocol: str = ""
    values: Values = field(default_factory=Values)
    scans: Sequence[Scan] = ()
    assessors: Sequence[Assessor] = ()
    resources: Sequence[Resource] = ()
    unkept: Sequence[str] = ()
    paths: Sequence[str] = ()


def read_documents(bodies: Mapping[str, bytes]) -> Document:
    """The documents among the top-level XML files of a XAR, by path; those that are none are other files.

    Raises:
        UserError: there is none, they do not belong together, or something that XNAT needs is missing.
    """
    found: list[Document] = []
    for path, body in sorted(bodies.items()):
        root = parse(body)
        document = None if root is None else _read(root)
        if document is not None:
            found.append(_at(document, path))
    if not found:
        raise UserError(*NO_DOCUMENT)
    if len({document.kind for document in found}) > 1:
        raise UserError(*MIXED)
    if found[0].kind is Kind.SESSION:
        if len(found) > 1:
            raise UserError(*SEVERAL_SESSIONS)
        return found[0]
    return _joined(found)


def _at(document: Document, path: str) -> Document:
    return Document(**{name: getattr(document, name) for name in document.__dataclass_fields__} | {"paths": (path,)})


def _joined(documents: Sequence[Document]) -> Document:
    first = documents[0]
    if any((one.session, one.project) != (first.session, first.project) for one in documents):
        raise UserError(*SEVERAL_SESSIONS)
    scans = tuple(scan for one in documents for scan in one.scans)
    _check_scans(scans)
    assessors = tuple(assessor for one in documents for assessor in one.assessors)
    check_labels(assessor.stated.label for assessor in assessors)
    return Document(
        first.kind,
        first.project,
        session=first.session,
        scans=scans,
        assessors=assessors,
        paths=tuple(p for one in documents for p in one.paths),
    )


def _read(root: etree._Element) -> Document | None:
    """The document with this root; None if it is not XNAT's."""
    name = local(root)
    if (session := session_of(root)) is not None:
        return _assessor_document(root, session)
    if not (etree.QName(root).namespace or "").startswith("http://nrg.wustl.edu/"):
        return None
    if name.endswith("Session"):
        return _session(root)
    if name.endswith("Scan"):
        return _scan_document(root)
    if name in {"ReconstructedImage", "reconstructedImage"}:
        raise UserError(*RECONSTRUCTION)
    return None


def _session(root: etree._Element) -> Document:
    project, subject = root.get("project", "").strip(), text(child(root, "subject_ID"))
    if not project:
        raise UserError(*NO_PROJECT)
    if not subject:
        raise UserError(*NO_SUBJECT)
    label = root.get("label", "").strip() or root.get("ID", "").strip()
    if not label:
        raise UserError(*NO_SESSION)
    xsi_type = type_of(root, "Session")
    values = leaves(root, _LISTS)
    known = ("ID", "project", "label", "UID", "subject_ID", "visit_id", "protocol", "prearchivePath")
    scans = tuple(_scan(one) for one in _items(root, "scans", "scan"))
    _check_scans(scans)
    assessors = tuple(_assessor(one) for one in _items(root, "assessors", "assessor"))
    check_labels(assessor.stated.label for assessor in assessors)
    return Document(
        Kind.SESSION,
        project,
        subject,
        label,
        root.get("UID", "").strip(),
        xsi_type,
        root.get("visit_id", ""),
        root.get("protocol", ""),
        sort_values(values, SESSION_KEYWORDS, xsi_type, known),
        scans,
        assessors,
        tuple(_resources(_items(root, "resources", "resource"), "resource")),
        tuple(name for name in _UNKEPT if child(root, name) is not None),
    )


def _items(element: etree._Element, name: str, item: str) -> list[etree._Element]:
    """The items of a list, of which there is one or none."""
    found = child(element, name)
    return [] if found is None else [one for one in found if local(one) == item]


def _assessor_document(root: etree._Element, session: str) -> Document:
    if not session:
        raise UserError(*NO_SESSION)
    project = root.get("project", "").strip()
    return Document(Kind.ASSESSOR, project, session=session, assessors=(_assessor(root),))


def _assessor(element: etree._Element) -> Assessor:
    found = read_assessor(element)
    resources = tuple(one for name in ("file", "resource") for one in _resources(found.resources, name))
    return Assessor(with_document(element, found), resources)


def _scan_document(root: etree._Element) -> Document:
    session = text(child(root, "image_session_ID"))
    if not session:
        raise UserError(*NO_SESSION)
    return Document(Kind.SCAN, root.get("project", "").strip(), session=session, scans=(_scan(root),))


def _scan(element: etree._Element) -> Scan:
    type_ = type_of(element, "Scan")
    if type_ == "xnat:scanScanData":
        type_ = "xnat:otherDicomScanData"
    known = ("ID", "UID", "type", "project", "image_session_ID", "note", "quality", "modality", "frames")
    values = sort_values(leaves(element, ("file", "sharing")), SCAN_KEYWORDS, type_, known)
    return Scan(
        scan_id=element.get("ID", "").strip(),
        series_instance_uid=element.get("UID", "").strip(),
        xsi_type=type_,
        type=element.get("type", "").strip(),
        quality=text(child(element, "quality")),
        note=text(child(element, "note")),
        modality=text(child(element, "modality")),
        values=values,
        resources=tuple(_resources(element, "file")),
    )


def _resources(elements: Iterable[etree._Element], name: str) -> Iterable[Resource]:
    for one in elements:
        uri = one.get("URI", "").strip()
        if local(one) == name and uri:
            yield Resource(
                uri, one.get("label", "").strip(), one.get("format", "").strip(), one.get("content", "").strip()
            )


def _check_scans(scans: Sequence[Scan]) -> None:
    ids = [scan.scan_id for scan in scans]
    if any(not 0 < len(one) <= LONGEST_ID or not one.isprintable() or "/" in one or one in {".", ".."} for one in ids):
        raise UserError("xar-scan-id", "A scan of the XAR has no ID that a folder can have: give each one.")
    if len(set(ids)) < len(ids):
        raise UserError("xar-scan-id", "Two scans of the XAR have the same ID: give each its own.")

"""Rows and items of a session's scans, resources and files, as XNAT's tables have them (pure; clients §2)."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from services.gateway.contents import File, Resource, Scan
from services.gateway.places import Session
from services.gateway.tables import Item, Row, dicom_date, dicom_time

SCANS = ("xnat_imagescandata_id", "ID", "type", "quality", "xsiType", "note", "series_description", "URI")
RESOURCES = (
    "xnat_abstractresource_id",
    "label",
    "element_name",
    "category",
    "cat_id",
    "cat_desc",
    "file_count",
    "file_size",
    "tags",
    "content",
    "format",
)
FILES = ("Name", "Size", "URI", "collection", "file_tags", "file_format", "file_content", "cat_ID", "digest")
PREARCHIVE_SCANS = ("ID", "xsiType", "series_description")
PREARCHIVE_RESOURCES = ("label", "file_count", "file_size")
PREARCHIVE_FILES = ("Name", "Size", "URI")

_SESSION_FIELDS: Mapping[str, str] = {
    "modality": "Modality",
    "session_type": "StudyDescription",
    "study_id": "StudyID",
    "acquisition_site": "InstitutionName",
    "operator": "OperatorsName",
    "scanner": "StationName",
    "scanner/manufacturer": "Manufacturer",
    "scanner/model": "ManufacturerModelName",
    "dcmAccessionNumber": "AccessionNumber",
    "dcmPatientId": "PatientID",
    "dcmPatientName": "PatientName",
}
"""Field of the schema -> DICOM keyword (import semantics §4.7)."""


def scan_row(session: Session, scan: Scan) -> Row:
    """One scan."""
    values = {
        "xnat_imagescandata_id": str(scan.row_id),
        "ID": scan.scan_id,
        "type": scan.type,
        "quality": scan.quality,
        "xsiType": scan.xsi_type,
        "note": scan.note,
        "series_description": scan.description,
        "URI": f"{session.uri}/scans/{quote(scan.scan_id)}",
    }
    return _only(values, scan_columns(session))


def scan_columns(session: Session) -> Sequence[str]:
    """The columns of the list of scans."""
    return SCANS if session.is_archived else PREARCHIVE_SCANS


def resource_row(session: Session, resource: Resource) -> Row:
    """One resource: without `ID` and `URI`, which would mislead xnatpy."""
    values = {
        "xnat_abstractresource_id": str(resource.id),
        "label": resource.label,
        "element_name": "xnat:resourceCatalog",
        "category": _category(resource),
        "cat_id": resource.scan_id or resource.assessor_id or "",
        "cat_desc": resource.scan_type or resource.assessor_label,
        "file_count": str(resource.file_count),
        "file_size": str(resource.size_bytes),
        "tags": "",
        "content": resource.content,
        "format": resource.format,
    }
    return _only(values, resource_columns(session))


def _category(resource: Resource) -> str:
    if resource.assessor_id is not None:
        return "assessors"
    return "resources" if resource.scan_id is None else "scans"


def resource_columns(session: Session) -> Sequence[str]:
    """The columns of the list of resources."""
    return RESOURCES if session.is_archived else PREARCHIVE_RESOURCES


def file_row(session: Session, file: File) -> Row:
    """One file."""
    values = {
        "Name": file.name.rsplit("/", 1)[-1] if session.is_archived else file.name,
        "Size": str(file.size_bytes),
        "URI": f"{file.resource.uri(session)}/files/{quote(file.name)}",
        "collection": file.resource.label,
        "file_tags": "",
        "file_format": file.resource.format,
        "file_content": file.resource.content,
        "cat_ID": str(file.resource.id),
        "digest": file.md5,
    }
    return _only(values, file_columns(session))


def file_columns(session: Session) -> Sequence[str]:
    """The columns of the list of files."""
    return FILES if session.is_archived else PREARCHIVE_FILES


def session_item(session: Session, scans: Sequence[Scan]) -> Item:
    """A session with its scans."""
    attributes = session.attributes
    fields = {
        "ID": session.id,
        "label": session.label,
        "project": session.project or "",
        "subject_ID": session.subject_id,
        "UID": session.study_instance_uid,
        "date": dicom_date(attributes.get("StudyDate")),
        "time": dicom_time(attributes.get("StudyTime")),
        "visit_id": session.visit,
        "protocol": session.protocol,
        **{name: attributes.get(keyword) or "" for name, keyword in _SESSION_FIELDS.items()},
        **session.stated,
    }
    children = {"scans/scan": [scan_item(session, scan) for scan in scans]} if scans else {}
    return Item(session.xsi_type, fields, children)


def scan_item(session: Session, scan: Scan) -> Item:
    """A scan."""
    fields = {
        "ID": scan.scan_id,
        "type": scan.type,
        "UID": scan.series_instance_uid,
        "quality": scan.quality,
        "note": scan.note,
        "series_description": scan.description,
        "modality": scan.modality,
        "image_session_ID": session.id,
    }
    return Item(scan.xsi_type, fields)


def resource_item(session: Session, resource: Resource) -> Item:
    """A resource."""
    fields = {
        "xnat_abstractresource_id": str(resource.id),
        "label": resource.label,
        "format": resource.format,
        "content": resource.content,
        "file_count": str(resource.file_count),
        "file_size": str(resource.size_bytes),
        "URI": resource.catalog_key(session),
    }
    return Item("xnat:resourceCatalog", fields)


def zip_path(session: Session, file: File) -> str:
    """A file's path in a zip of files: XNAT's, with `/files/` in it (clients §5)."""
    resource = file.resource
    if resource.assessor_id is not None:
        return f"{session.label}/assessors/{resource.assessor_label}/resources/{resource.label}/files/{file.name}"
    if resource.scan_id is None:
        return f"{session.label}/resources/{resource.label}/files/{file.name}"
    scan_type = "".join(c if c.isalnum() or c in "_-" else "_" for c in resource.scan_type)
    scan = f"{resource.scan_id}-{scan_type}" if scan_type else resource.scan_id
    return f"{session.label}/scans/{scan}/resources/{resource.label}/files/{file.name}"


def _only(values: Row, columns: Sequence[str]) -> Row:
    return {column: values[column] for column in columns}

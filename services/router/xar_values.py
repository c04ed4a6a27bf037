"""What an XNAT document says, as attributes that a session and its scans have, and the rest by XML path (pure).

The inverse of how the catalog service writes session XML (import semantics §4.7). Nothing is dropped: what has no
keyword is kept under its path.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from services.router.xar_xml import local, text, xsi_type

VARIABLE = "fields/field"
_CAPITALS = re.compile(r"^[A-Z]+(?![a-z])|^[A-Z]")
_SCANNER = {
    "scanner": "StationName",
    "scanner/manufacturer": "Manufacturer",
    "scanner/model": "ManufacturerModelName",
}
SESSION_KEYWORDS = {
    **_SCANNER,
    "date": "StudyDate",
    "time": "StudyTime",
    "session_type": "StudyDescription",
    "modality": "Modality",
    "study_id": "StudyID",
    "acquisition_site": "InstitutionName",
    "operator": "OperatorsName",
    "dcmAccessionNumber": "AccessionNumber",
    "dcmPatientId": "PatientID",
    "dcmPatientName": "PatientName",
    "dcmPatientBirthDate": "PatientBirthDate",
    "dcmPatientWeight": "PatientWeight",
    "fieldStrength": "MagneticFieldStrength",
}
SCAN_KEYWORDS = {
    **_SCANNER,
    "series_description": "SeriesDescription",
    "startTime": "SeriesTime",
    "start_date": "SeriesDate",
    "requestedProcedureDescription": "RequestedProcedureDescription",
    "protocolName": "ProtocolName",
    "bodyPartExamined": "BodyPartExamined",
    "coil": "ReceiveCoilName",
    "fieldStrength": "MagneticFieldStrength",
    "parameters/orientation": "Orientation",
    "parameters/fov/x": "Columns",
    "parameters/fov/y": "Rows",
    "parameters/tr": "RepetitionTime",
    "parameters/te": "EchoTime",
    "parameters/ti": "InversionTime",
    "parameters/flip": "FlipAngle",
    "parameters/sequence": "SequenceName",
    "parameters/imageType": "ImageType",
    "parameters/scanSequence": "ScanningSequence",
    "parameters/seqVariant": "SequenceVariant",
    "parameters/scanOptions": "ScanOptions",
    "parameters/acqType": "MRAcquisitionType",
    "parameters/pixelBandwidth": "PixelBandwidth",
    "parameters/diffusion/bValues": "DiffusionBValue",
    "parameters/diffusion/directionality": "DiffusionDirectionality",
    "parameters/diffusion/orientations": "DiffusionGradientOrientation",
    "parameters/diffusion/anisotropyType": "DiffusionAnisotropyType",
    "parameters/voxelRes/z": "SliceThickness",
}
_VOXEL = ("parameters/voxelRes/x", "parameters/voxelRes/y")
_DIGITS_ALONE = {"StudyDate": "-", "StudyTime": ":", "SeriesDate": "-", "SeriesTime": ":", "PatientBirthDate": "-"}
LONGEST_VALUE = 4096


@dataclass(frozen=True, slots=True)
class Values:
    """Attributes by DICOM keyword, and other values by XML path, such as `xnat:mrSessionData/note`."""

    attributes: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)


def leaves(element: etree._Element, without: Iterable[str]) -> dict[str, str]:
    """Every value below `element` by its path: texts, and attributes as if they were children.

    Elements that repeat are numbered from the second on: `a`, `a[2]`. Session variables have their name in the path.
    """
    found: dict[str, str] = {}
    _walk(element, "", set(without), found)
    return found


def _walk(element: etree._Element, prefix: str, without: set[str], found: dict[str, str]) -> None:
    for name, value in element.attrib.items():
        _put(found, f"{prefix}{etree.QName(name).localname}", str(value), is_wanted=not str(name).startswith("{"))
    counts: dict[str, int] = {}
    for one in element:
        name = local(one)
        if not prefix and name in without:
            continue
        counts[name] = counts.get(name, 0) + 1
        path = f"{prefix}{name}" if counts[name] == 1 else f"{prefix}{name}[{counts[name]}]"
        if f"{prefix}{name}" == VARIABLE:
            _put(found, f"fields/field[name={one.get('name', '')}]/field", text(one))
            continue
        _put(found, path, text(one))
        _walk(one, f"{path}/", without, found)


def _put(found: dict[str, str], path: str, value: str, *, is_wanted: bool = True) -> None:
    value = "".join(character for character in value if character.isprintable() or character in "\t\n").strip()
    if value and is_wanted:
        found.setdefault(path, value[:LONGEST_VALUE])


def sort_values(
    found: Mapping[str, str], keywords: Mapping[str, str], type_: str, without: Iterable[str] = ()
) -> Values:
    """`found` by keyword where there is one, else by its path behind `type_`; `without` is known otherwise."""
    values = Values()
    left_out = set(without)
    for path, value in found.items():
        keyword = keywords.get(path)
        if path in left_out or (keywords is SCAN_KEYWORDS and path in _VOXEL):
            continue
        if keyword is None:
            values.paths[f"{type_}/{path}"] = value
        else:
            values.attributes[keyword] = value.replace(_DIGITS_ALONE.get(keyword, "\0"), "")
    if keywords is SCAN_KEYWORDS and all(path in found for path in _VOXEL):
        values.attributes["PixelSpacing"] = "\\".join(found[path] for path in _VOXEL)
    return values


def type_of(element: etree._Element, suffix: str) -> str:
    """The data type of a session or scan element: its `xsi:type`, else by its name (`MRSession`, `OtherDicomScan`)."""
    if stated := xsi_type(element):
        return stated
    name = _CAPITALS.sub(lambda capitals: capitals[0].lower(), local(element).removesuffix(suffix))
    return f"xnat:{name}{suffix}Data"

"""The element of one scan and of its resources (import semantics §4.7, §6.4; pure)."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lxml import etree

from libs.common import names
from services.catalog.values import (
    Attributes,
    decimal,
    echoes,
    field_strength,
    matrix,
    voxel_size,
    xml_date,
    xml_time,
)
from services.catalog.xml_elements import Children, add_texts, element, fill, text_element
from services.catalog.xnat_schema import (
    DIFFUSION,
    MR_PARAMETER_TEXTS,
    MR_PARAMETERS,
    MR_SCAN,
    MR_SCAN_TEXTS,
    SCAN,
    SCAN_TEXTS,
)

MR = "xnat:mrScanData"


@dataclass(frozen=True, slots=True)
class Resource:
    """A labelled set of files."""

    label: str
    format: str
    content: str
    file_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan with its resources; `frames` is the sum over its files."""

    scan_id: str
    series_instance_uid: str
    xsi_type: str
    type: str
    quality: str
    note: str
    modality: str
    frames: int
    attributes: Attributes
    resources: Sequence[Resource]


@dataclass(frozen=True, slots=True)
class InPrearchive:
    """A session that is as a build leaves it: resources by relative URI, nothing that archiving adds."""


@dataclass(frozen=True, slots=True)
class InArchive:
    """A session with its ID; `root` is the absolute URI of its directory, ending in a slash."""

    session_id: str
    root: str


Home = InPrearchive | InArchive


def natural(scan_id: str) -> list[tuple[int, int, str]]:
    """A key that sorts scan IDs by their numbers: 2, 3-MR1, 3-MR2, 10 (import semantics §4.6)."""
    parts = re.findall(r"[0-9]+|[^0-9]+", scan_id)
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts]


def scan_element(scan: Scan, home: Home) -> etree._Element:
    """`xnat:scan`: the schema's order, what the whole series agrees on."""
    attributes = scan.attributes
    children: Children = {}
    archived = isinstance(home, InArchive)
    add_texts(
        children,
        {
            "image_session_ID": home.session_id if isinstance(home, InArchive) else None,
            "note": scan.note,
            "quality": scan.quality if archived else None,
            "series_description": attributes.get("SeriesDescription"),
            "modality": scan.modality or attributes.get("Modality"),
            "frames": str(scan.frames) if scan.frames else None,
            "startTime": xml_time(attributes.get("SeriesTime")),
            "start_date": xml_date(attributes.get("SeriesDate")),
            "requestedProcedureDescription": attributes.get("RequestedProcedureDescription"),
            "protocolName": attributes.get("ProtocolName"),
            "bodyPartExamined": attributes.get("BodyPartExamined"),
        },
    )
    add_scanner(children, attributes)
    add_texts(children, _stated(scan, "", SCAN_TEXTS))
    children["file"] = [resource_element("file", scan.scan_id, resource, home) for resource in scan.resources]
    order: tuple[str, ...] = SCAN
    if scan.xsi_type == MR:
        order = (*SCAN, *MR_SCAN)
        _add_mr(children, scan)
    made = element(
        "scan",
        {"ID": scan.scan_id, "UID": scan.series_instance_uid, "type": scan.type if archived else None},
        xsi_type=scan.xsi_type,
    )
    return fill(made, order, children)


def add_scanner(children: Children, attributes: Attributes) -> None:
    """`scanner`, if there is anything to say of it."""
    maker = {"manufacturer": attributes.get("Manufacturer"), "model": attributes.get("ManufacturerModelName")}
    station = attributes.get("StationName")
    made = text_element("scanner", station or "", maker)
    if made.text or made.attrib:
        children["scanner"] = [made]


def resource_element(name: str, scan_id: str | None, resource: Resource, home: Home) -> etree._Element:
    """`xnat:file` of a scan or `xnat:resource` of a session: where its catalog is, and what is known of its files."""
    path = names.catalog_path(scan_id, resource.label)
    archived = isinstance(home, InArchive)
    return element(
        name,
        {
            "URI": home.root + path if isinstance(home, InArchive) else path,
            "content": resource.content,
            "file_count": str(resource.file_count) if archived else None,
            "file_size": str(resource.size_bytes) if archived else None,
            "format": resource.format,
            "label": resource.label,
        },
        xsi_type="xnat:resourceCatalog",
    )


def _stated(scan: Scan, below: str, names_: Collection[str]) -> dict[str, str | None]:
    """What a document says of a scan and no header would: attributes by XML path (`xnat:mrScanData/condition`)."""
    return {name: scan.attributes.get(f"{scan.xsi_type}/{below}{name}") for name in names_}


def _add_mr(children: Children, scan: Scan) -> None:
    attributes = scan.attributes
    add_texts(children, _stated(scan, "", MR_SCAN_TEXTS))
    add_texts(
        children,
        {
            "coil": attributes.get("ReceiveCoilName"),
            "fieldStrength": field_strength(attributes.get("MagneticFieldStrength")),
        },
    )
    told = _mr_parameters(attributes)
    add_texts(told, _stated(scan, "parameters/", MR_PARAMETER_TEXTS))
    parameters = fill(element("parameters", {}), MR_PARAMETERS, told)
    if len(parameters):
        children["parameters"] = [parameters]


def _mr_parameters(attributes: Attributes) -> Children:
    children: Children = {}
    times = echoes(attributes)
    add_texts(
        children,
        {
            "orientation": attributes.get("Orientation"),
            "tr": decimal(attributes.get("RepetitionTime")),
            "te": times[0].milliseconds if len(times) == 1 else None,
            "ti": decimal(attributes.get("InversionTime")),
            "flip": decimal(attributes.get("FlipAngle")),
            "sequence": attributes.get("SequenceName"),
            "imageType": attributes.get("ImageType"),
            "scanSequence": attributes.get("ScanningSequence"),
            "seqVariant": attributes.get("SequenceVariant"),
            "scanOptions": attributes.get("ScanOptions"),
            "acqType": attributes.get("MRAcquisitionType"),
            "pixelBandwidth": decimal(attributes.get("PixelBandwidth")),
        },
    )
    if (voxel := voxel_size(attributes)) is not None:
        children["voxelRes"] = [element("voxelRes", {"x": voxel.x, "y": voxel.y, "z": voxel.z})]
    if (size := matrix(attributes)) is not None:
        children["fov"] = [element("fov", {"x": str(size.columns), "y": str(size.rows)})]
    if len(times) > 1:
        children["addParam"] = [
            text_element("addParam", echo.milliseconds, {"name": f"MultiEcho_TE{echo.number}"}) for echo in times
        ]
    _add_diffusion(children, attributes)
    return children


def _add_diffusion(children: Children, attributes: Attributes) -> None:
    """The standard's elements (PS3.3 §C.8.13.5.9); XNAT reads the vendors' private ones too, which are not kept."""
    told: Children = {}
    add_texts(
        told,
        {
            "bValues": attributes.get("DiffusionBValue"),
            "directionality": attributes.get("DiffusionDirectionality"),
            "orientations": attributes.get("DiffusionGradientOrientation"),
            "anisotropyType": attributes.get("DiffusionAnisotropyType"),
        },
    )
    if told:
        children["diffusion"] = [fill(element("diffusion", {}), DIFFUSION, told)]

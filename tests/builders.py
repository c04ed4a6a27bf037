"""The smallest legal DICOM files, and uploads made of them; a test adds only the elements that it is about."""

import hashlib
import io
import zipfile
from collections.abc import Mapping

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

_ROOT = "1.2.826.0.1.3680043.10.1555."


def uid(*parts: object) -> str:
    """A legal UID that belongs to `parts`: the same on every run."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return _ROOT + str(int.from_bytes(digest[:12], "big"))


def dataset(**elements: object) -> Dataset:
    """An MR image of 2 by 2 pixels; `elements` by keyword replace or add, and None removes."""
    ds = Dataset()
    defaults: dict[str, object] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": uid("instance", 1),
        "StudyInstanceUID": uid("study", 1),
        "SeriesInstanceUID": uid("series", 1),
        "Modality": "MR",
        "PatientName": "DOE^JOHN",
        "PatientID": "PAT01",
        "StudyDate": "20240130",
        "StudyTime": "091244",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 2,
        "Columns": 2,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": bytes(4),
    }
    for keyword, value in (defaults | elements).items():
        if value is not None:
            setattr(ds, keyword, value)
    if "PixelData" in ds:
        ds["PixelData"].VR = "OW"  # implicit VR files have it so (PS3.5 §A.1)
    return ds


def dicom_bytes(
    ds: Dataset | None = None, transfer_syntax: UID | str = ExplicitVRLittleEndian, **elements: object
) -> bytes:
    """A DICOM file (PS3.10) of `ds`, or of `dataset(**elements)`."""
    ds = dataset(**elements) if ds is None else ds
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    ds.file_meta.MediaStorageSOPClassUID = UID(ds.get("SOPClassUID") or MRImageStorage)
    ds.file_meta.MediaStorageSOPInstanceUID = UID(ds.get("SOPInstanceUID") or uid("nothing"))
    file = io.BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()


def series(count: int, name: object = 1, **elements: object) -> list[bytes]:
    """`count` images of one series, numbered from 1; `name` makes its UIDs differ from other series'."""
    return [
        dicom_bytes(
            dataset(
                **{
                    "SeriesInstanceUID": uid("series", name),
                    "SOPInstanceUID": uid("instance", name, number),
                    "InstanceNumber": number,
                }
                | elements
            )
        )
        for number in range(1, count + 1)
    ]


def zip_bytes(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of `files` by name, in their order."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return body.getvalue()

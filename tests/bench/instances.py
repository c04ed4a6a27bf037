"""DICOM files as an MR and a CT scanner write them: about 100 elements, sequences, private blocks, plausible pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from random import Random

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from tests.bench.pixels import ABDOMEN, HEAD, Anatomy, pixel_data

ROOT = "1.2.826.0.1.3680043.8.498."  # pydicom's, under which anybody may make UIDs

# Text values that every file of a modality has; the elements of the image itself are set one by one.
COMMON = {
    "SpecificCharacterSet": "ISO_IR 100",
    "StudyDate": "20240311",
    "SeriesDate": "20240311",
    "AcquisitionDate": "20240311",
    "ContentDate": "20240311",
    "StudyTime": "101500.123000",
    "AccessionNumber": "",
    "Manufacturer": "SCANDOCK BENCH",
    "InstitutionName": "Institute of Measured Speed",
    "InstitutionAddress": "1 Loopback Road, Localhost",
    "ReferringPhysicianName": "",
    "StationName": "BENCH01",
    "InstitutionalDepartmentName": "Department",
    "PerformingPhysicianName": "",
    "OperatorsName": "",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "PatientAge": "054Y",
    "PatientSize": "1.75",
    "PatientWeight": "75",
    "BodyPartExamined": "BRAIN",
    "DeviceSerialNumber": "40001",
    "SoftwareVersions": "bench 1",
    "PatientPosition": "HFS",
    "StudyID": "1",
    "PositionReferenceIndicator": "",
    "PerformedProcedureStepStartDate": "20240311",
    "PerformedProcedureStepStartTime": "101500.321000",
    "PerformedProcedureStepID": "MR20240311101500",
    "RequestedProcedureDescription": "Benchmark",
}
MR = {
    "SequenceName": "*epfid2d1_128",
    "ScanningSequence": "EP",
    "SequenceVariant": "SK",
    "ScanOptions": "FS",
    "MRAcquisitionType": "2D",
    "AngioFlag": "N",
    "SliceThickness": "3",
    "RepetitionTime": "2000",
    "EchoTime": "30",
    "NumberOfAverages": "1",
    "ImagingFrequency": "123.250137",
    "ImagedNucleus": "1H",
    "EchoNumbers": "1",
    "MagneticFieldStrength": "3",
    "SpacingBetweenSlices": "3.6",
    "NumberOfPhaseEncodingSteps": "127",
    "EchoTrainLength": "63",
    "PercentSampling": "100",
    "PercentPhaseFieldOfView": "100",
    "PixelBandwidth": "1860",
    "ProtocolName": "ep2d_bold",
    "TransmitCoilName": "Body",
    "InPlanePhaseEncodingDirection": "COL",
    "FlipAngle": "80",
    "VariableFlipAngleFlag": "N",
    "SAR": "0.06150",
    "dBdt": "0",
}
CT = {
    "ScanOptions": "HELIX",
    "SliceThickness": "1.25",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "360",
    "DistanceSourceToDetector": "949",
    "DistanceSourceToPatient": "541",
    "GantryDetectorTilt": "0",
    "TableHeight": "150",
    "RotationDirection": "CW",
    "ExposureTime": "500",
    "XRayTubeCurrent": "220",
    "Exposure": "110",
    "FilterType": "BODY FILTER",
    "GeneratorPower": "26000",
    "FocalSpots": "0.7",
    "ConvolutionKernel": "STANDARD",
    "ProtocolName": "Abdomen",
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
}


@dataclass(frozen=True)
class Study:
    """What a corpus holds: one study of one modality, its series equally long."""

    name: str
    modality: str
    anatomy: Anatomy
    series: int
    files_per_series: int

    @property
    def files(self) -> int:
        """How many instances it has."""
        return self.series * self.files_per_series

    def scaled(self, scale: float) -> Study:
        """The same with shorter series."""
        return Study(self.name, self.modality, self.anatomy, self.series, max(1, round(self.files_per_series * scale)))

    def uid(self, *parts: object) -> UID:
        """A UID that depends on this study and `parts` only, always of the same length."""
        seed = "/".join(str(part) for part in (self, *parts))
        digits = int.from_bytes(hashlib.sha256(seed.encode()).digest()) % 10**29
        return UID(f"{ROOT}1{digits:029d}")

    def instances(self) -> Iterator[Instance]:
        """Every file, in the order of acquisition, always the same bytes."""
        for number in range(1, self.series + 1):
            ds = _series(self, number)
            for index in range(self.files_per_series):
                yield Instance(self._path(number, index), _image(self, ds, index))

    def similar_instances(self) -> Iterator[Instance]:
        """As many files, quickly: those of a series differ in path, SOP Instance UID and instance number alone."""
        for number in range(1, self.series + 1):
            model = _image(self, _series(self, number), SIX_DIGITS)
            head, pixels = model[:HEAD_BYTES], model[HEAD_BYTES:]
            for index in range(SIX_DIGITS, SIX_DIGITS + self.files_per_series):
                own = head.replace(self.uid(number, SIX_DIGITS).encode(), self.uid(number, index).encode())
                own = own.replace(_number(SIX_DIGITS), _number(index))
                yield Instance(self._path(number, index), own + pixels)

    def _path(self, series: int, index: int) -> str:
        return f"{self.name}/{series:02d}/{self.modality}{index + 1:06d}.dcm"


@dataclass(frozen=True)
class Instance:
    """One file of a study."""

    path: str
    content: bytes


MR_STUDY = Study("mr", "MR", HEAD, series=4, files_per_series=1000)
CT_STUDY = Study("ct", "CT", ABDOMEN, series=2, files_per_series=500)
LARGE_STUDY = Study("large", "CT", ABDOMEN, series=40, files_per_series=500)


SIX_DIGITS = 100_000  # instance numbers from here on are equally long
HEAD_BYTES = 4096


def _number(index: int) -> bytes:
    return b"\x20\x00\x13\x00IS\x06\x00" + str(index + 1).encode()


def _series(study: Study, number: int) -> Dataset:
    ds = Dataset()
    for keyword, text in {**COMMON, **(MR if study.modality == "MR" else CT)}.items():
        setattr(ds, keyword, text)
    ds.SOPClassUID = MRImageStorage if study.modality == "MR" else CTImageStorage
    ds.Modality = study.modality
    ds.StudyDescription = f"BENCH {study.modality}"
    ds.SeriesDescription = f"{study.modality} series {number}"
    ds.ManufacturerModelName = f"Bench {study.modality}"
    ds.PatientName = f"BENCH^{study.modality}"
    ds.PatientID = f"BENCH_{study.modality}"
    ds.StudyInstanceUID = study.uid()
    ds.SeriesInstanceUID = study.uid(number)
    ds.FrameOfReferenceUID = study.uid("frame")
    ds.SeriesNumber = number
    ds.SeriesTime = f"10{15 + number:02d}00.000000"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"] if study.modality == "MR" else ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.PixelSpacing = ["1.71875", "1.71875"] if study.modality == "MR" else ["0.703125", "0.703125"]
    _add_pixel_description(ds, study.anatomy)
    _add_sequences(ds, study)
    if study.modality == "MR":
        _add_private_blocks(ds)
    return ds


def _add_pixel_description(ds: Dataset, anatomy: Anatomy) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = anatomy.rows, anatomy.columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = 0, 4095
    ds.WindowCenter, ds.WindowWidth = "600", "1200"


def _add_sequences(ds: Dataset, study: Study) -> None:
    references = []
    for plane in range(3):
        reference = Dataset()
        reference.ReferencedSOPClassUID = ds.SOPClassUID
        reference.ReferencedSOPInstanceUID = study.uid("localizer", plane)
        references.append(reference)
    ds.ReferencedImageSequence = references
    request = Dataset()
    request.RequestedProcedureDescription = "Benchmark"
    request.ScheduledProcedureStepDescription = "Benchmark"
    request.ScheduledProcedureStepID = "1"
    ds.RequestAttributesSequence = [request]


def _add_private_blocks(ds: Dataset) -> None:
    """Blocks of the size and shape of Siemens' MR and CSA headers, with values of our own."""
    csa = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    for offset, kind in ((0x00, "IMAGE NUM 4"), (0x10, "MR")):
        csa.add_new(0x08 + offset, "CS", kind)
        csa.add_new(0x09 + offset, "LO", "20240311")
        csa.add_new(0x10 + offset, "OB", _csa(kind))
    mr = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    for element, vr, value in (
        (0x08, "CS", "IMAGE NUM 4"),
        (0x09, "LO", "1.0"),
        (0x0A, "US", 36),
        (0x0B, "DS", "1952.5"),
        (0x0C, "IS", "0"),
        (0x0F, "SH", "Fast"),
        (0x11, "SH", "No"),
        (0x12, "SL", [0, 0, -1280]),
        (0x14, "DS", ["0", "0", "0"]),
        (0x18, "IS", "4200"),
    ):
        mr.add_new(element, vr, value)
    text = ds.private_block(0x0051, "SIEMENS MR HEADER", create=True)
    values = ("IMAGE NUM 4", "1.0", "TA 02.00", "128*120", "128 x 120", "p2", "FoV 220*206", "HE1-4", "A/P", "DIS2D")
    for element, value in enumerate(values, 0x08):
        text.add_new(element, "LO", value)


def _csa(kind: str) -> bytes:
    """A table of named numbers in fixed-width records, as CSA headers are."""
    random = Random(kind)
    names = (f"Parameter{number:02d}".encode().ljust(24, b"\0") for number in range(12))
    return b"SV10\4\3\2\1" + b"".join((name + f"{random.random():.8f}".encode()).ljust(40, b"\0") for name in names)


def _image(study: Study, ds: Dataset, index: int) -> bytes:
    """The file of a series' instance `index`; its elements replace those of the one before in `ds`."""
    uid = study.uid(ds.SeriesNumber, index)
    seconds = index % 3600
    ds.SOPInstanceUID = uid
    ds.InstanceNumber = index + 1
    ds.AcquisitionNumber = index // 36 + 1
    ds.ContentTime = f"11{seconds // 60:02d}{seconds % 60:02d}.000000"
    ds.AcquisitionTime = ds.ContentTime
    ds.ImagePositionPatient = ["-110", "-103", f"{index * 3.6 % 500:.1f}"]
    ds.SliceLocation = f"{index * 3.6 % 500:.1f}"
    ds.PixelData = pixel_data(study.anatomy, index / study.files_per_series, Random(uid))
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(f"{ROOT}1")
    ds.file_meta.ImplementationVersionName = "SCANDOCK_BENCH"
    file = BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()

"""What SOP classes and modalities mean to XNAT: session type, scan type, resource (import semantics §4.4-4.8; pure)."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple


class PetMr(StrEnum):
    """XNAT's preference `separatePETMR`: what a study with both PET and MR becomes."""

    PETMR = "petmr"
    PET = "pet"
    SEPARATE = "separate"


class SopClass(NamedTuple):
    """One storage SOP class: the kind of session and scan it makes, and whether its files are the scan's `DICOM`."""

    kind: str
    is_primary: bool


_ROOT = "1.2.840.10008.5.1.4.1.1."
# Storage SOP classes (PS3.4 §B.5, PS3.6 Annex A) below that root: UID, kind (§4.4, §4.5), resource (§4.8), name.
# Kind "-" has no session type of its own, and its scans are `otherDicomScanData`.
_TABLE = """
1               cr   primary    Computed Radiography Image
1.1             dx   primary    Digital X-Ray Image, for presentation
1.1.1           dx   primary    Digital X-Ray Image, for processing
1.2             mg   primary    Digital Mammography X-Ray Image, for presentation
1.2.1           mg   primary    Digital Mammography X-Ray Image, for processing
1.3             dx   primary    Digital Intra-Oral X-Ray Image, for presentation
1.3.1           dx   primary    Digital Intra-Oral X-Ray Image, for processing
2               ct   primary    CT Image
2.1             ct   primary    Enhanced CT Image
2.2             ct   primary    Legacy Converted Enhanced CT Image
3               us   primary    Ultrasound Multi-frame Image (retired)
3.1             us   primary    Ultrasound Multi-frame Image
4               mr   primary    MR Image
4.1             mr   primary    Enhanced MR Image
4.2             mr   primary    MR Spectroscopy
4.3             mr   secondary  Enhanced MR Color Image
4.4             mr   primary    Legacy Converted Enhanced MR Image
5               nm   primary    Nuclear Medicine Image (retired)
6               us   primary    Ultrasound Image (retired)
6.1             us   primary    Ultrasound Image
6.2             us   primary    Enhanced US Volume
6.3             pa   primary    Photoacoustic Image
7               sc   secondary  Secondary Capture Image
7.1             sc   secondary  Multi-frame Single Bit Secondary Capture Image
7.2             sc   secondary  Multi-frame Grayscale Byte Secondary Capture Image
7.3             sc   secondary  Multi-frame Grayscale Word Secondary Capture Image
7.4             sc   secondary  Multi-frame True Color Secondary Capture Image
9.1.1           ecg  primary    12-lead ECG Waveform
9.1.2           ecg  primary    General ECG Waveform
9.1.3           ecg  primary    Ambulatory ECG Waveform
9.1.4           ecg  primary    General 32-bit ECG Waveform
9.2.1           -    primary    Hemodynamic Waveform
9.3.1           -    primary    Cardiac Electrophysiology Waveform
9.4.1           -    primary    Basic Voice Audio Waveform
9.4.2           -    primary    General Audio Waveform
9.5.1           -    primary    Arterial Pulse Waveform
9.6.1           resp primary    Respiratory Waveform
9.6.2           resp primary    Multi-channel Respiratory Waveform
9.7.1           eeg  primary    Routine Scalp Electroencephalogram Waveform
9.7.2           emg  primary    Electromyogram Waveform
9.7.3           eog  primary    Electrooculogram Waveform
9.7.4           eeg  primary    Sleep Electroencephalogram Waveform
9.8.1           pos  primary    Body Position Waveform
12.1            xa   primary    X-Ray Angiographic Image
12.1.1          xa   primary    Enhanced XA Image
12.2            rf   primary    X-Ray Radiofluoroscopic Image
12.2.1          rf   primary    Enhanced XRF Image
12.3            xa   primary    X-Ray Angiographic Bi-Plane Image (retired)
13.1.1          xa   primary    X-Ray 3D Angiographic Image
13.1.2          dx   primary    X-Ray 3D Craniofacial Image
13.1.3          mg   primary    Breast Tomosynthesis Image
13.1.4          mg   primary    Breast Projection X-Ray Image, for presentation
13.1.5          mg   primary    Breast Projection X-Ray Image, for processing
14.1            -    primary    Intravascular Optical Coherence Tomography Image, for presentation
14.2            -    primary    Intravascular Optical Coherence Tomography Image, for processing
20              nm   primary    Nuclear Medicine Image
66.4            seg  secondary  Segmentation
66.5            seg  secondary  Surface Segmentation
77.1.1          es   primary    VL Endoscopic Image
77.1.1.1        es   primary    Video Endoscopic Image
77.1.2          gm   primary    VL Microscopic Image
77.1.2.1        gm   primary    Video Microscopic Image
77.1.3          sm   primary    VL Slide-Coordinates Microscopic Image
77.1.4          -    primary    VL Photographic Image
77.1.4.1        -    primary    Video Photographic Image
77.1.5.1        -    primary    Ophthalmic Photography 8 Bit Image
77.1.5.2        -    primary    Ophthalmic Photography 16 Bit Image
77.1.5.4        opt  primary    Ophthalmic Tomography Image
77.1.5.5        -    primary    Wide Field Ophthalmic Photography Stereographic Projection Image
77.1.5.6        -    primary    Wide Field Ophthalmic Photography 3D Coordinates Image
77.1.5.7        opt  primary    Ophthalmic Optical Coherence Tomography En Face Image
77.1.6          sm   primary    VL Whole Slide Microscopy Image
77.1.7          dms  primary    Dermoscopic Photography Image
77.1.8          cfm  primary    Confocal Microscopy Image
77.1.9          cfm  primary    Confocal Microscopy Tiled Pyramidal Image
88.11           sr   primary    Basic Text SR
88.22           sr   primary    Enhanced SR
88.33           sr   secondary  Comprehensive SR
88.34           sr   secondary  Comprehensive 3D SR
88.35           sr   secondary  Extensible SR
88.40           sr   secondary  Procedure Log
88.50           sr   secondary  Mammography CAD SR
88.65           sr   secondary  Chest CAD SR
88.67           sr   secondary  X-Ray Radiation Dose SR
88.68           sr   secondary  Radiopharmaceutical Radiation Dose SR
88.69           sr   secondary  Colon CAD SR
88.70           sr   secondary  Implantation Plan SR
88.71           sr   secondary  Acquisition Context SR
88.72           sr   secondary  Simplified Adult Echo SR
88.73           sr   secondary  Patient Radiation Dose SR
88.74           sr   secondary  Planned Imaging Agent Administration SR
88.75           sr   secondary  Performed Imaging Agent Administration SR
88.76           sr   secondary  Enhanced X-Ray Radiation Dose SR
88.77           sr   secondary  Waveform Annotation SR
128             pet  primary    Positron Emission Tomography Image
128.1           pet  primary    Legacy Converted Enhanced PET Image
130             pet  primary    Enhanced PET Image
481.1           rt   primary    RT Image
481.2           rt   primary    RT Dose
481.3           rt   secondary  RT Structure Set
481.4           rt   secondary  RT Beams Treatment Record
481.5           rt   secondary  RT Plan
481.6           rt   secondary  RT Brachy Treatment Record
481.7           rt   secondary  RT Treatment Summary Record
481.8           rt   secondary  RT Ion Plan
481.9           rt   secondary  RT Ion Beams Treatment Record
481.10          rt   secondary  RT Physician Intent
481.11          rt   secondary  RT Segment Annotation
481.12          rt   secondary  RT Radiation Set
481.13          rt   secondary  C-Arm Photon-Electron Radiation
481.14          rt   secondary  Tomotherapeutic Radiation
481.15          rt   secondary  Robotic-Arm Radiation
481.16          rt   secondary  RT Radiation Record Set
481.17          rt   secondary  RT Radiation Salvage Record
481.18          rt   secondary  Tomotherapeutic Radiation Record
481.19          rt   secondary  C-Arm Photon-Electron Radiation Record
481.20          rt   secondary  Robotic Radiation Record
481.21          rt   secondary  RT Radiation Set Delivery Instruction
481.22          rt   secondary  RT Treatment Preparation
481.23          rt   primary    Enhanced RT Image
481.24          rt   primary    Enhanced Continuous RT Image
481.25          rt   secondary  RT Patient Position Acquisition Instruction
"""
_OTHER = SopClass("-", False)
SOP_CLASSES: Mapping[str, SopClass] = {
    _ROOT + uid: SopClass(kind, resource == "primary")
    for uid, kind, resource, _ in (line.split(None, 3) for line in _TABLE.strip().splitlines())
}

# Leads first: session types by SOP class (§4.4 step 2), scan types (§4.5), modalities (§4.4 step 3).
_SESSION_KINDS = "pet mr ct xa us rt cr opt mg dx nm sr sm gm rf es rg dms cfm pa ecg emg eog resp pos obj eeg"
_SCAN_KINDS = _SESSION_KINDS.replace(" sr ", " sr seg sc ")
_MODALITIES = (
    "PT MR CT XA US RT CR OPT MG DX NM EEG ECG EMG EOG IVUS SM GM RF ES XC RG DMS CFM PA RESP POS OBJ OT SR SC ANN"
)
_SESSION_ORDER, _SCAN_ORDER, _MODALITY_ORDER = _SESSION_KINDS.split(), _SCAN_KINDS.split(), _MODALITIES.split()
_MODALITY_KINDS = {"PT": "pet", "IVUS": "us", "SC": "otherDicom", "OT": "otherDicom", "ANN": "otherDicom"}


def is_primary(sop_class_uid: str) -> bool:
    """Whether files of this class are their scan's `DICOM` resource; else they are `secondary` (§4.8)."""
    return SOP_CLASSES.get(sop_class_uid, _OTHER).is_primary


def resource_label(sop_class_uid: str) -> str:
    """`DICOM` or `secondary` (§4.8)."""
    return "DICOM" if is_primary(sop_class_uid) else "secondary"


def session_type(
    sop_class_uids: Iterable[str],
    modalities: Iterable[str],
    mr_series_descriptions: Iterable[str] = (),
    pet_mr: PetMr = PetMr.PETMR,
) -> str:
    """The session's xsi:type, such as `xnat:mrSessionData` (§4.4): SOP classes decide, then modalities.

    `mr_series_descriptions` matter where `pet_mr` is `separate`: attenuation maps alone make no MR session.
    """
    kinds = _kinds(sop_class_uids)
    if {"pet", "mr"} <= kinds:
        return f"xnat:{_pet_mr_kind(mr_series_descriptions, pet_mr)}SessionData"
    for kind in _SESSION_ORDER:
        if kind in kinds:
            return f"xnat:{kind}SessionData"
    return f"xnat:{_modality_kind(modalities)}SessionData"


def _pet_mr_kind(mr_series_descriptions: Iterable[str], pet_mr: PetMr) -> str:
    descriptions = list(mr_series_descriptions)
    only_maps = bool(descriptions) and all("MRAC" in description for description in descriptions)
    if pet_mr is PetMr.PET or (pet_mr is PetMr.SEPARATE and only_maps):
        return "pet"
    return "petmr"


def _modality_kind(modalities: Iterable[str]) -> str:
    present = set(modalities)
    for modality in _MODALITY_ORDER:
        if modality in present:
            return _MODALITY_KINDS.get(modality, modality.lower())
    return "otherDicom"


def scan_type(sop_class_uids: Iterable[str], modalities: Iterable[str]) -> str:
    """The scan's xsi:type, such as `xnat:mrScanData` (§4.5): SOP classes decide; modalities only if there is none."""
    uids = [uid for uid in sop_class_uids if uid]
    if not uids:
        return f"xnat:{_modality_kind(modalities)}ScanData"
    kinds = _kinds(uids)
    for kind in _SCAN_ORDER:
        if kind in kinds:
            return f"xnat:{'rtImage' if kind == 'rt' else kind}ScanData"
    return "xnat:otherDicomScanData"


def lead_modality(modalities: Iterable[str]) -> str:
    """The modality that names a scan (§4.6): the highest of §4.4 step 3, else the first by name, else `OT`."""
    present = {modality for modality in modalities if modality}
    for modality in _MODALITY_ORDER:
        if modality in present:
            return modality
    return min(present, default="OT")


def _kinds(sop_class_uids: Iterable[str]) -> set[str]:
    return {SOP_CLASSES[uid].kind for uid in sop_class_uids if uid in SOP_CLASSES}

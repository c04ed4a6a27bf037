"""What the main header of an ECAT 7 file says about it (pure).

The header is the file's first 512 bytes, big-endian, of fixed fields (struct `ecat7_mainheader` of CTI's ECAT 7, as
Turku PET Centre's libtpcimgio documents it in ecat7.h; nibabel reads the same fields).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import NamedTuple

HEADER_BYTES = 512
MAGIC = b"MATRIX7"


class _Field(NamedTuple):
    offset: int
    code: str  # of `struct`, big-endian


_FIELDS: Mapping[str, _Field] = {
    "system_type": _Field(48, "h"),
    "scan_start_time": _Field(62, "i"),
    "isotope_name": _Field(66, "8s"),
    "isotope_halflife": _Field(74, "f"),
    "radiopharmaceutical": _Field(78, "32s"),
    "patient_id": _Field(166, "16s"),
    "patient_name": _Field(182, "32s"),
    "patient_weight": _Field(224, "f"),
    "patient_birth_date": _Field(228, "i"),
    "operator_name": _Field(264, "32s"),
    "study_description": _Field(296, "32s"),
    "facility_name": _Field(332, "20s"),
    "num_frames": _Field(354, "h"),
    "dose_start_time": _Field(454, "i"),
}
# The same facts by the keyword under which a session and its scans have them, whatever the format (§4.7)
_TEXTS = {
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "OperatorsName": "operator_name",
    "StudyDescription": "study_description",
    "InstitutionName": "facility_name",
    "Radiopharmaceutical": "radiopharmaceutical",
    "Isotope": "isotope_name",
}
_NUMBERS = {"PatientWeight": "patient_weight", "IsotopeHalfLife": "isotope_halflife"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN_MOMENTS = frozenset({0, -1})


@dataclass(frozen=True, slots=True)
class EcatHeader:
    """An ECAT 7 file: its texts by DICOM's keywords, empty ones absent, and its frames. Holds PHI.

    `patient_id` groups the files of one session (import semantics §3.1 step 7), also where it is empty.
    """

    patient_id: str
    number_of_frames: int
    texts: Mapping[str, str]


def is_ecat(head: bytes) -> bool:
    """Whether `head` begins an ECAT 7 file: `MATRIX70`, `MATRIX72v` and the like (field `magic_number`)."""
    return head.startswith(MAGIC)


def read_ecat(head: bytes) -> EcatHeader | None:
    """The header of the ECAT 7 file that begins with `head`; None if it ends within the header. Never raises.

    Times are seconds since 1970, taken as UTC, as there is no time zone in the header.
    """
    if len(head) < HEADER_BYTES:
        return None
    values = {name: struct.unpack_from(f">{field.code}", head, field.offset)[0] for name, field in _FIELDS.items()}
    texts = {keyword: _text(values[name]) for keyword, name in _TEXTS.items()}
    texts |= {keyword: _number(values[name]) for keyword, name in _NUMBERS.items()}
    texts |= _moment("Study", values["scan_start_time"]) | _moment("Series", values["scan_start_time"])
    texts |= {"InjectionTime": _moment("Injection", values["dose_start_time"]).get("InjectionTime", "")}
    texts["PatientBirthDate"] = _moment("Birth", values["patient_birth_date"]).get("BirthDate", "")
    texts["ManufacturerModelName"] = f"ECAT {values['system_type']}" if values["system_type"] > 0 else ""
    texts["Modality"] = "PT"
    patient_id = _text(values["patient_id"])
    return EcatHeader(patient_id, max(values["num_frames"], 1), {k: text for k, text in texts.items() if text})


def _text(value: bytes) -> str:
    """Up to the first NUL; Latin-1, as the header names no encoding; nothing that an XML file cannot hold."""
    decoded = value.split(b"\0", 1)[0].decode("latin-1")
    return "".join(character for character in decoded if character.isprintable()).strip()


def _number(value: float) -> str:
    return f"{value:.7g}" if isfinite(value) and value > 0 else ""


def _moment(name: str, seconds: int) -> dict[str, str]:
    """`{name}Date` and `{name}Time` as DICOM writes them (PS3.5 §6.2); nothing for what stands for unknown."""
    if seconds in _UNKNOWN_MOMENTS:
        return {}
    at = _EPOCH + timedelta(seconds=seconds)
    return {f"{name}Date": f"{at:%Y%m%d}", f"{name}Time": f"{at:%H%M%S}"}

"""ECAT files among the members of an upload: their sessions and scans (pure; import semantics §3.1 step 7)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from libs.common.errors import UserError
from libs.common.facts import Instance, Member
from libs.common.importers import Importer
from libs.common.stated import StatedScan, derived_key
from services.router.ecat import EcatHeader
from services.router.headers import Header, NotDicom
from services.router.studies import Study

LABEL = "ECAT"
FIRST_NUMBER = "xnat:petSessionData/scans/scan/ID"
"""The parameter with the number of the first scan (§1.2)."""
NOT_TAKEN = NotDicom("not DICOM: ECAT 7, which this import handler does not take")
_LONGEST_NUMBER = 9

Outcome = Header | EcatHeader | NotDicom


def admit(
    outcomes: Mapping[int, Outcome], members: Iterable[Member], importer: Importer
) -> Mapping[int, Header | NotDicom]:
    """The outcomes with ECAT files as instances of a study by their patient ID and a series by their file's name."""
    names = {member.ordinal: member.path.rsplit("/", 1)[-1] for member in members}
    return {
        ordinal: outcome if not isinstance(outcome, EcatHeader) else _admitted(outcome, names[ordinal], importer)
        for ordinal, outcome in outcomes.items()
    }


def _admitted(header: EcatHeader, name: str, importer: Importer) -> Header | NotDicom:
    if not importer.takes_ecat:
        return NOT_TAKEN
    instance = Instance(
        study_instance_uid=derived_key("ecat", header.patient_id),
        series_instance_uid=derived_key("ecat", name),
        sop_instance_uid="",
        sop_class_uid="",
        modality="PT",
        series_number="",
        instance_number="",
        number_of_frames=header.number_of_frames,
        resource_label=LABEL,
    )
    return Header(instance, header.texts)


def state_scans(
    studies: Sequence[Study], headers: Mapping[int, Header], xml_paths: Mapping[str, str]
) -> Sequence[Study]:
    """The studies with their ECAT scans numbered in the order of the upload.

    Raises:
        UserError: the number of the first scan is none.
    """
    first: dict[str, int] = {}
    for ordinal in sorted(headers, reverse=True):
        if headers[ordinal].instance.resource_label == LABEL:
            first[headers[ordinal].instance.series_instance_uid] = ordinal
    return [_stated(study, first, first_number(xml_paths)) for study in studies] if first else studies


def _stated(study: Study, first: Mapping[str, int], number: int) -> Study:
    series = [
        replace(one, stated=StatedScan(first_number=number, ordinal=first[one.series_instance_uid]))
        if one.series_instance_uid in first
        else one
        for one in study.series
    ]
    return replace(study, series=series)


def first_number(xml_paths: Mapping[str, str]) -> int:
    """What the sender gives as the number of the first ECAT scan, else 1. Raises `UserError` if it is no number."""
    text = xml_paths.get(FIRST_NUMBER, "").strip() or "1"
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise UserError("parameter-invalid", f"{FIRST_NUMBER} must be the number of the first scan, such as 1.")
    return int(text)

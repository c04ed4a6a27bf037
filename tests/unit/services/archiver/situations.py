"""Small facts for the tables of the archiver's tests, and the session that a decision leaves behind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from libs.common.requests import Area, Duplicates, Overwrite
from services.archiver.cases import (
    Aim,
    Case,
    Decision,
    NewFile,
    Place,
    Policy,
    Series,
    Session,
    StoredFile,
    StoredScan,
    Subject,
)

MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
PET = "1.2.840.10008.5.1.4.1.1.128"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
RT_STRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass(frozen=True)
class Sent:
    """A file of an upload; `body` stands for its bytes."""

    name: str
    uid: str
    body: str
    series: str = "1.5"
    sop_class: str = MR
    resource: str = "DICOM"


def new_files(sent: Iterable[Sent], entry: str = "E2") -> tuple[NewFile, ...]:
    return tuple(
        NewFile(
            ordinal,
            f"folder/{one.name}",
            one.series,
            one.resource,
            one.uid,
            one.sop_class,
            "1",
            1,
            f"sessions/P/{entry}/{ordinal}",
            len(one.body),
            f"md5 of {one.body}",
            one.body,
        )
        for ordinal, one in enumerate(sent)
    )


def series(uid: str = "1.5", number: str | None = "1", sop_class: str = MR, modality: str = "MR") -> Series:
    return Series(uid, frozenset({modality}), frozenset({sop_class}), {"SeriesNumber": number})


def session(**changes: object) -> Session:
    plain = Session(
        id="E2",
        place=Place.OPENING,
        project="P",
        subject_id=None,
        subject_label="S1",
        label="L1",
        timestamp="20240131_101530123",
        folder="PAT01",
        prefix="sessions/P/E2/",
        study_instance_uid="1.2",
        xsi_type="",
        attributes={},
        auto_archive=None,
        revision=0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def archived(*sent: Sent, scan_id: str = "1", series_uid: str = "1.5", **changes: object) -> Session:
    """An archived MR session with one scan that holds `sent`."""
    scan = StoredScan(1, scan_id, series_uid, "xnat:mrScanData", frozenset({"MR"}), frozenset({MR}), {})
    files = tuple(
        StoredFile(10 + row, 1, one.resource, one.name, one.uid, one.sop_class, one.body, f"sessions/P/E1/{row}")
        for row, one in enumerate(sent)
    )
    there: dict[str, object] = {
        "id": "E1",
        "place": Place.ARCHIVE,
        "subject_id": "S_1",
        "prefix": "sessions/P/E1/",
        "xsi_type": "xnat:mrSessionData",
        "revision": 1,
        "scans": (scan,),
        "files": files,
    }
    return session(**there | changes)


def waiting(*sent: Sent, **changes: object) -> Session:
    """The same in the prearchive."""
    return archived(*sent, **{"place": Place.PREARCHIVE, "subject_id": None} | changes)


def archive_case(
    *sent: Sent,
    target: Session | None = None,
    overwrite: Overwrite = Overwrite.NONE,
    duplicates: Duplicates = Duplicates.IDENTICAL,
    overwrite_files: bool = False,
    **changes: object,
) -> Case:
    """An upload into the archive, where subject S1 exists as S_1."""
    fields: dict[str, object] = {
        "aim": Aim(Area.ARCHIVE, label="L1", subject="S1"),
        "policy": Policy(Area.ARCHIVE, overwrite, duplicates, overwrite_files or overwrite is Overwrite.DELETE),
        "target": target,
        "subject": Subject("S_1", "S1"),
    }
    return _case(sent, fields | changes)


def prearchive_case(
    *sent: Sent, target: Session | None = None, overwrite: Overwrite = Overwrite.NONE, **changes: object
) -> Case:
    """An upload into the prearchive."""
    fields: dict[str, object] = {
        "aim": Aim(Area.PREARCHIVE, timestamp="T", folder="F") if target else Aim(Area.PREARCHIVE),
        "policy": Policy(Area.PREARCHIVE, overwrite),
        "target": target,
    }
    return _case(sent, fields | changes)


def _case(sent: tuple[Sent, ...], changes: Mapping[str, object]) -> Case:
    found = {one.series: series(one.series, sop_class=one.sop_class) for one in sent}
    plain = Case(session(), Aim(Area.ARCHIVE), Policy(Area.ARCHIVE), tuple(found.values()), new_files(sent))
    return replace(plain, **changes)  # type: ignore[arg-type]


def after(case: Case, decision: Decision) -> Session:
    """The session that `decision` leaves: what the rows would say."""
    home = decision.joins or case.entry
    row = 1000 * (home.revision + 1)
    rows = {scan.scan_id: scan.row for scan in home.scans}
    scans = {scan.row: scan for scan in home.scans}
    for planned in decision.contents.scans:
        row += 1
        number = planned.row if planned.row is not None else rows.setdefault(planned.scan_id, row)
        scans[number] = StoredScan(
            number,
            planned.scan_id,
            planned.series_instance_uid,
            planned.xsi_type,
            planned.modalities,
            planned.sop_class_uids,
            planned.attributes,
        )
    gone = {planned.replaces for planned in decision.contents.files}
    files = [file for file in home.files if file.row not in gone]
    for planned_file in decision.contents.files:
        row += 1
        new = planned_file.file
        files.append(
            StoredFile(
                row,
                rows[planned_file.scan_id],
                new.resource_label,
                planned_file.name,
                new.sop_instance_uid,
                new.sop_class_uid,
                new.sha256,
                new.object_key,
            )
        )
    return replace(
        home,
        place=decision.place if decision.joins is None else home.place,
        subject_id=home.subject_id or "S_1",
        xsi_type=decision.xsi_type or home.xsi_type,
        revision=home.revision + 1,
        scans=tuple(scans.values()),
        files=tuple(files),
    )

"""What joins a session, and what conflicts (pure): one decision for one session of one import (import semantics §7)."""

from collections.abc import Callable, Iterable, Mapping

from libs.common import dicom_classes
from libs.common.facts import Attributes, Verdict, fold
from libs.common.requests import Area, Overwrite
from libs.common.stated import uid_of
from services.archiver import numbering
from services.archiver.builds import session_type
from services.archiver.cases import (
    Case,
    Contents,
    Decision,
    Finding,
    Outcome,
    Place,
    PlannedScan,
    Problem,
    Series,
    Session,
    Status,
    StoredScan,
)
from services.archiver.files import CLASHES, Comparison, Upload, compare, copy_findings, settle
from services.archiver.stated_scans import (
    is_described,
    is_new,
    is_scan,
    plan_assessors,
    session_attributes,
    session_stated,
)

NO_FILES = Problem(
    "damaged", "Every file of the session is damaged: the import's report says how. Send the files again."
)
NO_SUBJECT = Problem(
    "no-subject", "Unable to identify subject: name it by subject or dest=/archive/projects/{P}/subjects/{S}."
)
SESSION_EXISTS = Problem("conflict-session-exists", "Session already exists, retry with overwrite enabled")
_OTHER_LABEL = "Another label (session or dest) keeps them apart."
MODALITY_DIFFERS = Problem(
    "conflict-modality-differs",
    "Invalid modification of session modality via archive process.  Data may require a manual merge. " + _OTHER_LABEL,
)
SUBJECT_DIFFERS = Problem(
    "conflict-subject-differs",
    "Invalid modification of session subject via archive process.: Session Already Exists for another Subject. "
    "Name that subject. " + _OTHER_LABEL,
)
ASSESSOR_EXISTS = Problem(
    "conflict-assessor-exists",
    "Assessor already exists, retry with overwrite enabled: append adds files to it, delete replaces what differs. "
    "Another label keeps them apart.",
)
STUDY_UID_DIFFERS = Problem(
    "conflict-study-uid-differs",
    "Invalid modification of session UID via archive process. overwrite=delete puts both studies together. "
    + _OTHER_LABEL,
)


def decide(case: Case) -> Decision:
    """What becomes of the entry, its files and what they meet."""
    if not case.files and not any(map(is_described, case.series)):
        return Decision(Outcome.ERROR, Place.DELETED, Status.ERROR, {}, problem=NO_FILES)
    if case.aim.problem is not None:
        return hold(case, case.aim.problem)
    if case.target is not None:
        return _join(case, case.target)
    if case.aim.area is Area.PREARCHIVE:
        return _open(case, Place.PREARCHIVE, Status.READY)
    if case.aim.subject is None:
        return hold(case, NO_SUBJECT)
    doubled = doubled_instances(settle_case(case, ()), case)
    return hold(case, doubled) if doubled else _open(case, Place.ARCHIVE, Status.ARCHIVED)


def hold(case: Case, problem: Problem, clashing: Mapping[int, Finding] | None = None) -> Decision:
    """Leave the entry, with all its files, in the prearchive; the report says of each file why it waits."""
    status = Status.CONFLICT if problem.outcome is Outcome.CONFLICT else Status.ERROR
    opened = _open(case, Place.PREARCHIVE, status)
    waiting = {
        ordinal: Finding(Verdict.WAITING, problem.detail) if finding.verdict is Verdict.STORED else finding
        for ordinal, finding in opened.findings.items()
    }
    return Decision(
        problem.outcome,
        opened.place,
        status,
        {**waiting, **(clashing or {})},
        opened.contents,
        problem=problem,
        xsi_type=opened.xsi_type,
        attributes=opened.attributes,
    )


def _open(case: Case, place: Place, status: Status) -> Decision:
    """The entry itself becomes a session, with everything that the upload brings."""
    upload = settle_case(case, ())
    findings = {planned.file.ordinal: Finding(Verdict.STORED) for planned in upload.files}
    return Decision(
        Outcome.MERGED,
        place,
        status,
        {**findings, **copy_findings(upload, findings)},
        Contents(plan_scans(case, ()), upload.files, session_stated(case.series), plan_assessors(case, ())),
        xsi_type=_own_type(case),
        attributes=session_attributes(case.series),
    )


def _join(case: Case, target: Session) -> Decision:
    """The upload meets a session that is there."""
    upload = settle_case(case, target.scans)
    found = compare(upload, target.files, ids_by_row(target), case.policy)
    planned = plan_scans(case, target.scans)
    new = {scan.scan_id for scan in planned if is_new(scan)}
    assessors = plan_assessors(case, target.assessors)
    gains = bool(found.files or new or any(one.is_altered for one in assessors))
    if found.clash is None and not gains and _subject_fits(case, target):
        return Decision(Outcome.UNCHANGED, Place.MERGED, Status.READY, found.findings, joins=target)
    problem = _first_problem(case, target, upload, found)
    if problem is not None:
        clashing = {o: finding for o, finding in found.findings.items() if finding.verdict is Verdict.CONFLICT}
        return hold(case, problem, clashing)
    changed = {file.scan_id for file in found.files} | new
    scans = tuple(scan for scan in planned if scan.scan_id in changed)
    return Decision(
        Outcome.MERGED,
        Place.MERGED,
        Status.ARCHIVED if case.policy.area is Area.ARCHIVE else Status.READY,
        found.findings,
        Contents(scans, found.files, session_stated(case.series), assessors),
        joins=target,
        xsi_type=joined_type(case, target),
        attributes=_joined(case, target.attributes, session_attributes(case.series)),
    )


def ids_by_row(session: Session) -> Mapping[int, str]:
    """The IDs of a session's scans by their rows; 0 stands for its own resources, what is negative for assessors."""
    assessors = {-one.row: one.home for one in session.assessors}
    return {0: "", **{scan.row: scan.scan_id for scan in session.scans}, **assessors}


def _first_problem(case: Case, target: Session, upload: Upload, found: Comparison) -> Problem | None:
    """§7.3 in its order, then §7.4, then §7.5."""
    if case.policy.overwrite is Overwrite.NONE:
        return ASSESSOR_EXISTS if _adds_assessors(case) else SESSION_EXISTS
    if case.policy.area is Area.ARCHIVE:
        problem = next(iter(target_problems(case, target)), None)
        if problem is not None:
            return problem
    return doubled_instances(upload, case) or (None if found.clash is None else CLASHES[found.clash])


def _adds_assessors(case: Case) -> bool:
    """Whether documents bring assessors to a session that is there, and nothing else."""
    stated = [one.stated for one in case.series if one.stated is not None]
    return any(one.adds for one in stated) and any(one.assessor is not None for one in stated)


def _check_modality(case: Case, target: Session) -> Problem | None:
    differs = target.xsi_type not in {"", _own_type(case)}
    return MODALITY_DIFFERS if differs and case.policy.preferred.keeps_types_apart else None


def _check_subject(case: Case, target: Session) -> Problem | None:
    if case.aim.subject is None and not case.is_adopted:
        return NO_SUBJECT
    return None if _subject_fits(case, target) else SUBJECT_DIFFERS


def _check_study_uid(case: Case, target: Session) -> Problem | None:
    uids = {uid for uid in (target.study_instance_uid, case.entry.study_instance_uid) if uid}
    return STUDY_UID_DIFFERS if len(uids) > 1 and case.policy.overwrite is not Overwrite.DELETE else None


def _check_scan_uids(case: Case, target: Session) -> Problem | None:
    """A series that is there under a number of its own; a renamed scan's is not another (§7.3)."""
    if case.policy.overwrite is Overwrite.DELETE:
        return None
    stored = {scan.series_instance_uid: scan for scan in target.scans}
    for series in sorted(case.series, key=lambda series: series.series_instance_uid):
        scan = stored.get(series.series_instance_uid)
        is_uid = bool(uid_of(series.series_instance_uid))
        if scan is not None and is_uid and not numbering.is_same_number(series, scan.scan_id):
            detail = f"Session already contains a scan with the same UID, but a different number ({scan.scan_id})."
            return Problem("conflict-scan-uid-differs", f"{detail} overwrite=delete puts the files in that scan.")
    return None


_CHECKS: tuple[Callable[[Case, Session], Problem | None], ...] = (
    _check_modality,
    _check_subject,
    _check_study_uid,
    _check_scan_uids,
)


def target_problems(case: Case, target: Session) -> list[Problem]:
    """All that keeps the entry out of the archived session as a whole, in XNAT's order (§7.3)."""
    return [one for one in (check(case, target) for check in _CHECKS) if one is not None]


def _subject_fits(case: Case, target: Session) -> bool:
    """The session is of the subject that the sender means; naming the session alone means its own (§2)."""
    if case.policy.area is Area.PREARCHIVE or (case.is_adopted and not case.aim.subject_is_named):
        return True
    return case.subject is not None and case.subject.id == target.subject_id


def doubled_instances(upload: Upload, case: Case) -> Problem | None:
    """An instance twice in one catalog stops archiving without override (§7.4)."""
    if not upload.doubled_scans or case.policy.area is Area.PREARCHIVE or case.policy.overwrite is Overwrite.DELETE:
        return None
    scan_id = min(upload.doubled_scans)
    detail = f"Scan {scan_id} DICOM catalog contains duplicated SOP instance UIDs: files of the upload differ under one"
    return Problem("duplicate-instances", f"{detail}. Send one of them, or store both by overwrite=delete.")


def settle_case(case: Case, stored: tuple[StoredScan, ...]) -> Upload:
    """The upload's files beside the scans that are there, named among themselves."""
    return settle(case.files, numbering.assign(case.series, stored), case.policy.preferred)


def plan_scans(case: Case, stored: tuple[StoredScan, ...]) -> tuple[PlannedScan, ...]:
    """The scans of the upload's series beside those that are there, as they will be; in the order of their IDs."""
    ids = numbering.assign(case.series, stored)
    known = {scan.scan_id: scan for scan in stored}
    series = filter(is_scan, case.series)
    planned = (_scan(case, one, ids[one.series_instance_uid], known) for one in series)
    return tuple(sorted(planned, key=lambda scan: scan.scan_id))


def _scan(case: Case, series: Series, scan_id: str, known: Mapping[str, StoredScan]) -> PlannedScan:
    stored = known.get(scan_id)
    old = () if stored is None else (stored,)
    classes = series.sop_class_uids.union(*(scan.sop_class_uids for scan in old))
    modalities = series.modalities.union(*(scan.modalities for scan in old))
    keeps_type = stored is not None and case.policy.area is Area.ARCHIVE
    return PlannedScan(
        None if stored is None else stored.row,
        scan_id,
        series.series_instance_uid,
        stored.xsi_type if stored is not None and keeps_type else _scan_type(series, classes, modalities),
        dicom_classes.lead_modality(modalities) if modalities else "",
        modalities,
        classes,
        series.attributes if stored is None else _joined(case, stored.attributes, series.attributes),
        series.stated,
    )


def _scan_type(series: Series, classes: Iterable[str], modalities: Iterable[str]) -> str:
    stated = series.stated.xsi_type if series.stated is not None else ""
    return stated or dicom_classes.scan_type(classes, modalities)


def _joined(case: Case, there: Attributes, new: Attributes) -> Attributes:
    """In the archive what is there wins (§7.5); in the prearchive all files must agree, as in a rebuild (§4.7)."""
    return {**new, **there} if case.policy.area is Area.ARCHIVE else fold((there, new))


def joined_type(case: Case, target: Session) -> str:
    """The session type of `target` with the upload: in the archive it never changes."""
    if target.xsi_type and case.policy.area is Area.ARCHIVE:
        return target.xsi_type
    return session_type((*case.series, *target.scans), case.policy.preferred.pet_mr)


def _own_type(case: Case) -> str:
    """The type of the entry by itself; one that is built has its own (§4.4)."""
    return case.entry.xsi_type or session_type(case.series, case.policy.preferred.pet_mr)

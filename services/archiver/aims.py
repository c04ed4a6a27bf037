"""Where a session of an import is to go, and what may happen to what is there (pure; import semantics §2, §3.1)."""

from libs.common.importers import IMPORTERS, Reads
from libs.common.names import clean_label
from libs.common.requests import Area, ImportRequest, Overwrite
from services.archiver.cases import Aim, Codes, Policy, Problem, Session

AUTO_ARCHIVE = 4
AUTO_ARCHIVE_OVERWRITE = 5
"""Prearchive codes of a project (§7.7)."""

NO_PROJECT = Problem(
    "no-project", "unable to identify destination project: name it by project or dest=/archive/projects/{P}"
)
"""§7.2 step 2."""
PROJECT_DIFFERS = Problem(
    "conflict-project-differs",
    "Invalid modification of session project via archive process. Move the entry to that project first.",
)


def aim_of(entry: Session, request: ImportRequest, codes: Codes) -> Aim:
    """Where `entry` is to go: `dest` decides, then auto-archive, then the project (§3.1 step 10).

    Without a project nothing is archived (§2.1): an error where the archive was asked for, else it stays.
    """
    wanted = request.destination
    if IMPORTERS[request.handler].reads is Reads.DOCUMENTS:  # they say it all (§3.6)
        subject = entry.subject_label or None
        return Aim(Area.ARCHIVE, session=entry.label, label=entry.label, subject=subject, subject_is_named=True)
    area = wanted.area or _area_by_default(entry, codes)
    if area is Area.PREARCHIVE:
        return Aim(area, timestamp=wanted.timestamp, folder=wanted.folder)
    if entry.project is None:
        problem = NO_PROJECT if wanted.area is Area.ARCHIVE else None
        return Aim(Area.PREARCHIVE, problem=problem)
    return Aim(
        area,
        session=wanted.session,
        label=clean_label(wanted.session or entry.label or entry.folder),
        subject=wanted.subject or entry.subject_label or None,
        subject_is_named=wanted.subject is not None,
    )


def _area_by_default(entry: Session, codes: Codes) -> Area:
    if entry.auto_archive is not None:
        return Area.ARCHIVE if entry.auto_archive else Area.PREARCHIVE
    return Area.ARCHIVE if codes.prearchive >= AUTO_ARCHIVE else Area.PREARCHIVE


def policy_of(request: ImportRequest, area: Area, codes: Codes) -> Policy:
    """What the sender and the project allow. In the prearchive nothing is ever replaced (§7.5, outcome summary)."""
    overwrite = request.overwrite
    if area is Area.PREARCHIVE:
        return Policy(area, overwrite, request.duplicates, preferred=codes.preferred)
    replaces = request.overwrite_files
    if codes.prearchive == AUTO_ARCHIVE_OVERWRITE:
        replaces = True
        if overwrite is Overwrite.NONE and request.destination.area is None:
            overwrite = Overwrite.DELETE
    quarantines = bool(codes.quarantine) if request.quarantine is None else request.quarantine
    replaces = replaces or overwrite is Overwrite.DELETE
    return Policy(area, overwrite, request.duplicates, replaces, quarantines, codes.preferred)

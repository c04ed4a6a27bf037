"""The table of `validate-archive`: code, type and message of all that a merge would meet (pure; §9.3)."""

from collections.abc import Iterator
from dataclasses import replace

from libs.common.commands import Line
from libs.common.requests import Overwrite
from services.archiver import merge, numbering
from services.archiver.aims import PROJECT_DIFFERS
from services.archiver.cases import Case, Session
from services.archiver.files import CLASHES, compare

NO_PROJECT = Line(code=6, type="FAIL", message="unable to identify destination project")


def findings(case: Case) -> tuple[Line, ...]:
    """Every finding, not the first alone. CONFLICT is what `overwrite` or `duplicates` can settle, FAIL is not.

    They do not depend on the `overwrite` that is asked for: who asks wants to know what it would have to settle.
    """
    case = replace(case, policy=replace(case.policy, overwrite=Overwrite.APPEND, replaces_files=False))
    lines = [*_of_entry(case)]
    if case.target is not None:
        lines += _of_target(case, case.target)
    return tuple(sorted(lines, key=lambda line: (line.code, line.message)))


def _of_entry(case: Case) -> Iterator[Line]:
    if case.aim.problem is PROJECT_DIFFERS:
        yield Line(code=3, type="FAIL", message=PROJECT_DIFFERS.detail)
    if not case.aim.label:
        yield Line(code=8, type="FAIL", message="The session has no label.")
    if case.aim.subject is None and not case.is_adopted:
        yield Line(code=11, type="FAIL", message=merge.NO_SUBJECT.detail)
    elif case.subject is None and case.target is None:
        yield Line(code=12, type="WARN", message="A new subject would be created.")
    if not case.files:
        yield Line(code=15, type="FAIL", message="The session has no files.")
    doubled = merge.doubled_instances(merge.settle_case(case, ()), case)
    if doubled is not None:
        yield Line(code=14, type="CONFLICT", message=doubled.detail)


def _of_target(case: Case, target: Session) -> Iterator[Line]:
    yield Line(code=1, type="CONFLICT", message=merge.SESSION_EXISTS.detail)
    problems = {problem.code: problem for problem in merge.target_problems(case, target)}
    for code, number, kind in _TARGET_LINES:
        if code in problems:
            yield Line(code=number, type=kind, message=problems[code].detail)
    yield from _of_scans(case, target)
    clash = _clash(case, target)
    if clash:
        yield Line(code=14, type="CONFLICT", message=clash)


_TARGET_LINES = (
    ("conflict-subject-differs", 4, "FAIL"),
    ("conflict-study-uid-differs", 5, "CONFLICT"),
    ("conflict-scan-uid-differs", 18, "CONFLICT"),
    ("conflict-modality-differs", 19, "FAIL"),
)


def _of_scans(case: Case, target: Session) -> Iterator[Line]:
    """XNAT's 16 for each scan that both have, 17 for each that would be renamed."""
    ids = numbering.assign(case.series, target.scans)
    there = {scan.series_instance_uid for scan in target.scans}
    taken = {scan.scan_id for scan in target.scans}
    for series in case.series:
        own, chosen = numbering.base_id(series), ids[series.series_instance_uid]
        if series.series_instance_uid in there:
            yield Line(code=16, type="CONFLICT", message=f"Scan {chosen} is in the session already.")
        elif own in taken:
            yield Line(code=17, type="CONFLICT", message=f"Scan {own} is another series there: this one is renamed.")


def _clash(case: Case, target: Session) -> str:
    upload = merge.settle_case(case, target.scans)
    found = compare(upload, target.files, merge.ids_by_row(target), case.policy)
    return "" if found.clash is None else CLASHES[found.clash].detail

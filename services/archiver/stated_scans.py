"""Scans and sessions as documents state them, on their way into a merge (pure; import semantics §3.6)."""

from collections.abc import Iterable
from dataclasses import replace

from libs.common.facts import Attributes, fold
from libs.common.requests import Overwrite
from libs.common.stated import StatedScan
from services.archiver.assessors import PlannedAssessor, StoredAssessor
from services.archiver.cases import Case, PlannedScan, Policy, Series, Session


def is_described(series: Series) -> bool:
    """Whether a document describes it, so that it is there also without files."""
    stated = series.stated
    return stated is not None and bool(stated.scan_id or stated.is_session or stated.assessor is not None)


def is_scan(series: Series) -> bool:
    """Whether it is a scan, and not the session's own resources or an assessor."""
    return series.stated is None or not (series.stated.is_session or series.stated.assessor is not None)


def scan_ids(series: Iterable[Series]) -> frozenset[str]:
    """The IDs that documents give."""
    return frozenset(one.stated.scan_id for one in series if one.stated is not None and one.stated.scan_id)


def session_attributes(series: Iterable[Series]) -> Attributes:
    """What all series agree on (§4.7), or what a document says of the session itself."""
    series = tuple(series)
    own = [dict(one.attributes) for one in series if not is_scan(one) and one.attributes]
    return own[0] if own else fold(one.attributes for one in series)


def session_stated(series: Iterable[Series]) -> StatedScan | None:
    """What a document says of the session's own resources."""
    return next((one.stated for one in series if one.stated is not None and one.stated.is_session), None)


def is_new(scan: PlannedScan) -> bool:
    """Whether a document brings a scan that the session lacks, with files or without."""
    return scan.row is None and scan.stated is not None and bool(scan.stated.scan_id)


def policy_for(policy: Policy, series: Iterable[Series], target: Session | None) -> Policy:
    """Documents that name a session which is there want to add to it, where the sender says nothing else.

    Not so where they are of an assessor that is there already: that is asked for with append or delete.
    """
    series = tuple(series)
    adds = any(one.stated is not None and one.stated.adds for one in series)
    there = set() if target is None else {one.key for one in target.assessors}
    is_met = any(one.series_instance_uid in there for one in series)
    adds = adds and not is_met and policy.overwrite is Overwrite.NONE
    return replace(policy, overwrite=Overwrite.APPEND) if adds else policy


def plan_assessors(case: Case, stored: Iterable[StoredAssessor]) -> tuple[PlannedAssessor, ...]:
    """The assessors of the upload beside those that are there, which keep their documents where it only appends."""
    there = {one.stated.label: one for one in stored}
    planned = []
    for one in case.series:
        if one.stated is not None and (stated := one.stated.assessor) is not None:
            old = there.get(stated.label)
            is_altered = old is None or (old.stated != stated and case.policy.overwrite is not Overwrite.APPEND)
            planned.append(PlannedAssessor(None if old is None else old.row, stated, is_altered, one.stated.resources))
    return tuple(planned)

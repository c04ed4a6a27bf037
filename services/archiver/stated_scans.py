"""Scans and sessions as documents state them, on their way into a merge (pure; import semantics §3.6)."""

from collections.abc import Iterable
from dataclasses import replace

from libs.common.facts import Attributes, fold
from libs.common.requests import Overwrite
from libs.common.stated import StatedScan
from services.archiver.cases import PlannedScan, Policy, Series


def is_described(series: Series) -> bool:
    """Whether a document describes it, so that it is there also without files."""
    return series.stated is not None and bool(series.stated.scan_id or series.stated.is_session)


def is_scan(series: Series) -> bool:
    """Whether it is a scan, and not the session's own resources."""
    return series.stated is None or not series.stated.is_session


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


def policy_for(policy: Policy, series: Iterable[Series]) -> Policy:
    """Documents that name a session which is there want to add to it, where the sender says nothing else."""
    adds = any(one.stated is not None and one.stated.adds for one in series)
    return replace(policy, overwrite=Overwrite.APPEND) if adds and policy.overwrite is Overwrite.NONE else policy

"""Scan IDs (pure; import semantics §4.6 among series built together, §7.3 beside scans that are there)."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from libs.common.dicom_classes import lead_modality, scan_type
from libs.common.stated import uid_of
from services.archiver.assessors import home_of
from services.archiver.cases import Series, StoredScan

ID_LENGTH = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_NON_WORD = re.compile(r"[^A-Za-z0-9_]")


def base_id(series: Series) -> str:
    """SeriesNumber, a leading "+" as "_"; the cleaned SeriesInstanceUID where it is blank or files disagree on it.

    The ID that the importer states comes first.
    """
    if series.stated is not None and series.stated.scan_id:
        return series.stated.scan_id
    number = _UNSAFE.sub("_", (series.attributes.get("SeriesNumber") or "").strip())[:ID_LENGTH]
    if number.strip("."):
        return number
    return _NON_WORD.sub("_", series.series_instance_uid)


def assign(series: Collection[Series], stored: Collection[StoredScan]) -> Mapping[str, str]:
    """SeriesInstanceUID -> scan ID; depends on nothing else than the facts, not on their order.

    A series that is there keeps its scan. Several new ones of one base ID all become `{base}-{MODALITY}{n}`; a single
    one whose ID is taken becomes `{base}-{MOD}{n}`, with MOD from its xsi:type. Series without any number (ECAT) get
    the next free ones (§3.1 step 7); a session's own resources have "", an assessor's its `home_of`.
    """
    ids = {scan.series_instance_uid: scan.scan_id for scan in sorted(stored, key=lambda scan: -scan.row)}
    ids = {one.series_instance_uid: ids[one.series_instance_uid] for one in series if one.series_instance_uid in ids}
    ids |= {
        one.series_instance_uid: home_of(one.stated.assessor.label)
        for one in series
        if one.stated is not None and one.stated.assessor is not None
    }
    ids |= _stated_ids([one for one in series if one.series_instance_uid not in ids], stored)
    taken = {scan.scan_id for scan in stored}
    groups: dict[str, list[Series]] = defaultdict(list)
    for one in sorted(series, key=lambda one: one.series_instance_uid):
        if one.series_instance_uid not in ids and not _is_unnumbered(one):
            groups[base_id(one)].append(one)
    alone = {base: group[0] for base, group in groups.items() if len(group) == 1 and base not in taken}
    ids |= {one.series_instance_uid: base for base, one in alone.items()}
    taken |= alone.keys()
    for base, group in sorted(groups.items()):
        if base not in alone:
            _suffix(base, group, ids, taken)
    return ids | _count([one for one in series if one.series_instance_uid not in ids], taken)


def _stated_ids(series: Iterable[Series], stored: Iterable[StoredScan]) -> dict[str, str]:
    """Series whose importer states the ID of a scan that is there, unless both have UIDs, which then differ."""
    there = {scan.scan_id: scan for scan in stored}
    ids = {}
    for one in series:
        scan = there.get(one.stated.scan_id) if one.stated is not None else None
        if scan is not None and not (uid_of(scan.series_instance_uid) and uid_of(one.series_instance_uid)):
            ids[one.series_instance_uid] = scan.scan_id
    return ids


def _is_unnumbered(series: Series) -> bool:
    return series.stated is not None and not series.stated.scan_id


def _count(series: Iterable[Series], taken: set[str]) -> dict[str, str]:
    """Numbers that are free, in the order of the upload."""
    ids: dict[str, str] = {}
    for one, stated in sorted(((s, s.stated) for s in series if s.stated), key=lambda pair: pair[1].ordinal):
        number = stated.first_number
        while str(number) in taken:
            number += 1
        ids[one.series_instance_uid] = "" if stated.is_session else str(number)
        taken.add(ids[one.series_instance_uid])
    return ids


def _suffix(base: str, group: list[Series], ids: dict[str, str], taken: set[str]) -> None:
    for one in group:
        word = lead_modality(one.modalities) if len(group) > 1 else _type_word(one)
        ids[one.series_instance_uid] = chosen = _first_free(f"{base}-{word}", taken)
        taken.add(chosen)


def _type_word(series: Series) -> str:
    """Two letters of the scan's xsi:type, PE as PT (§7.3)."""
    word = scan_type(series.sop_class_uids, series.modalities).removeprefix("xnat:")[:2].upper()
    return "PT" if word == "PE" else word


def _first_free(stem: str, taken: Iterable[str]) -> str:
    number = 1
    while f"{stem}{number}" in taken:
        number += 1
    return f"{stem}{number}"


def is_same_number(series: Series, scan_id: str) -> bool:
    """Whether `scan_id` is what `series` would be called, or the renamed form of it (§7.3)."""
    bases = "|".join(re.escape(base) for base in (base_id(series), base_id(replace(series, stated=None))))
    return re.fullmatch(rf"({bases})(-[A-Z]+[0-9]+)?", scan_id) is not None

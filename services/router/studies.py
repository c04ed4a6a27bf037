"""The studies and series that a batch of headers holds (pure)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.facts import Attributes, fold
from libs.common.stated import StatedScan
from services.router.headers import Header
from services.router.routing import Texts
from services.router.rules import attributes


@dataclass(frozen=True, slots=True)
class Series:
    """What the files of one series in one batch have in common, and what their importer states of them."""

    series_instance_uid: str
    modalities: Sequence[str]
    sop_class_uids: Sequence[str]
    attributes: Attributes
    stated: StatedScan | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """One study's share of a batch. `ordinal` is that of its first member; `headers` are in the members' order."""

    study_instance_uid: str
    ordinal: int
    headers: Sequence[Texts]
    series: Sequence[Series]


def group(headers: Mapping[int, Header]) -> list[Study]:
    """The studies among `headers` (by ordinal), in the order of their UIDs, so that every batch locks alike."""
    studies: dict[str, list[int]] = defaultdict(list)
    for ordinal in sorted(headers):
        studies[headers[ordinal].instance.study_instance_uid].append(ordinal)
    return [
        Study(uid, ordinals[0], [_values(headers[o]) for o in ordinals], _series([headers[o] for o in ordinals]))
        for uid, ordinals in sorted(studies.items())
    ]


def _values(header: Header) -> Texts:
    return {**header.texts, **header.extra} if header.extra else header.texts


def _series(headers: Sequence[Header]) -> list[Series]:
    by_uid: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_uid[header.instance.series_instance_uid].append(header)
    return [
        Series(
            uid,
            sorted({header.instance.modality for header in members} - {""}),
            sorted({header.instance.sop_class_uid for header in members} - {""}),
            fold(attributes(header.texts) for header in members),
        )
        for uid, members in by_uid.items()
    ]

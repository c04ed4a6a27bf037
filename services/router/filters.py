"""Instances that a series import filter leaves out of an import (pure; import semantics §3.3 step 3, §3.1 step 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from libs.common.dicom_tags import format_tag
from libs.common.facts import FILTERED
from libs.common.series_filters import Filter
from services.router.headers import Header, NotDicom


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of the site, and of the projects that have their own."""

    site: Filter | None = None
    projects: Mapping[str, Filter] = field(default_factory=dict)

    @property
    def tags(self) -> frozenset[int]:
        """The elements that any filter looks at."""
        return frozenset(tag for one in (self.site, *self.projects.values()) if one for tag in one.tags)

    def of(self, project: str | None) -> Sequence[tuple[str, Filter]]:
        """The filters that an instance for `project` must pass, each with whose it is; the site's comes first."""
        named = (("the site's", self.site), ("the project's", self.projects.get(project or "")))
        return [(whose, one) for whose, one in named if one is not None]


def left_out(
    headers: Mapping[int, Header], projects: Mapping[str, str | None], filters: Filters
) -> dict[int, NotDicom]:
    """The instances that do not pass, with the reason for the sender's report. `projects` is by study UID.

    What says where an instance belongs is its own header alone, so that every batch of a series decides alike.

    Raises:
        UserError: an expression of a filter takes too long.
    """
    known: dict[tuple[object, ...], str] = {}
    found = {}
    for ordinal, header in headers.items():
        if not header.instance.sop_instance_uid:
            continue
        project = projects[header.instance.study_instance_uid]
        key = (project, *header.extra.items())
        if key not in known:
            known[key] = _reason(header, filters.of(project))
        if known[key]:
            found[ordinal] = NotDicom(known[key])
    return found


def _reason(header: Header, filters: Sequence[tuple[str, Filter]]) -> str:
    for whose, one in filters:
        if reason := one.reason(lambda tag: header.extra.get(format_tag(tag))):
            return f"{FILTERED}{whose} series import filter: {reason}"
    return ""

"""Assessors of a session beside its scans: what is there, what is to be, and how their files are told apart (pure)."""

from dataclasses import dataclass, field

from libs.common.stated import StatedAssessor, StatedResource, assessor_key

_HOME = "assessors/"


def home_of(label: str) -> str:
    """Stands for a scan's ID where files are an assessor's: no scan has a slash in its own."""
    return f"{_HOME}{label}"


def is_scan_id(home: str) -> bool:
    """Whether files are a scan's, not an assessor's or the session's own."""
    return bool(home) and not home.startswith(_HOME)


@dataclass(frozen=True, slots=True)
class StoredAssessor:
    """A row of `assessors`. Where rows of scans and assessors stand side by side, an assessor's is negative."""

    row: int
    id: str
    stated: StatedAssessor

    @property
    def key(self) -> str:
        """In the place of its series."""
        return assessor_key(self.stated.label)

    @property
    def home(self) -> str:
        """In the place of its scan's ID."""
        return home_of(self.stated.label)


@dataclass(frozen=True, slots=True)
class PlannedAssessor:
    """An assessor as it will be; `row` is None for a new one. `is_altered`: it is new, or gets this document."""

    row: int | None
    stated: StatedAssessor
    is_altered: bool = True
    resources: dict[str, StatedResource] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """In the place of its series."""
        return assessor_key(self.stated.label)

    @property
    def home(self) -> str:
        """In the place of its scan's ID."""
        return home_of(self.stated.label)

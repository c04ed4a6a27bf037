"""What a sender set by XML path, shared out to its place in the session's element (pure)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.catalog.xnat_schema import (
    PART_ATTRIBUTES,
    PART_CHILD_ATTRIBUTES,
    SESSION_ATTRIBUTES,
    SESSION_PARTS,
    SESSION_TEXTS,
    session_order,
)

_PATH = re.compile(r"(?:xnat:)?(\w+)/(.+)")
_SESSION_TYPES = re.compile(r"\w*SessionData|experimentData|subjectAssessorData")
_VARIABLE = re.compile(r"fields/field\[(?:@?name\s*=\s*)([^\]]+)\](?:/field)?")

_PART_PLACES = {
    head: {*children, *PART_ATTRIBUTES[head], *PART_CHILD_ATTRIBUTES.get(head, ())}
    for head, children in SESSION_PARTS.items()
}


@dataclass(frozen=True, slots=True)
class SenderFields:
    """Values by place: attributes and texts of the session, parts of `scanner` and the like, variables by name."""

    attributes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    parts: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


def share_out(fields: Mapping[str, str], xsi_type: str) -> SenderFields:
    """The places of `fields`, such as `xnat:mrSessionData/scanner/model` or `…/fields/field[name=dose]/field`.

    A path that the session's type has no place for is left out: it stays in the row, and XNAT's readers would
    refuse the document with it.
    """
    shared = SenderFields()
    for path in sorted(fields):
        match = _PATH.fullmatch(path)
        if match and _SESSION_TYPES.fullmatch(match[1]) and fields[path]:
            _place(shared, match[2].replace("@", ""), fields[path], session_order(xsi_type))
    return shared


def _place(shared: SenderFields, place: str, value: str, order: tuple[str, ...]) -> None:
    head, _, tail = place.partition("/")
    if variable := _VARIABLE.fullmatch(place):
        shared.variables[variable[1].strip("'\" ")] = value
    elif place in SESSION_ATTRIBUTES:
        shared.attributes[place] = value
    elif place in SESSION_TEXTS and place in order:
        shared.texts[place] = value
    elif head in order and tail in _PART_PLACES.get(head, ()):
        shared.parts.setdefault(head, {})[tail] = value

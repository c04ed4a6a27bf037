"""XNAT's series import filters: which instances are left out of an import (pure).

A JSON object `{"mode": "blacklist" or "whitelist", "list": "…", "enabled": "true"}` at `seriesImportFilter/config`, of
the site or a project. The list has an expression a line, which must match the whole value without regard to case; it
looks at the Series Description, or at the element that a line such as `[(0018,1030)]` or `[ProtocolName]` names before.
XNAT describes them on its page "How to write a series import filter".
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from libs.common.dicom_tags import format_tag, parse_tag
from libs.common.errors import UserError
from libs.common.java_patterns import Pattern, TooSlow, pattern

FILTER_TOOL = "seriesImportFilter"
_SERIES_DESCRIPTION = 0x0008103E
_SECTION = re.compile(r"\[(\([0-9A-Fa-f]{4},\s?[0-9A-Fa-f]{4}\)|[0-9A-Fa-f]{4},\s?[0-9A-Fa-f]{4}|[A-Z]\w{3,})\]")
_MOST_LINES = 1000
_VALUE_LENGTH = 1024

ReadTag = Callable[[int], str | None]
"""The value of a header's element by tag, "" where it is empty, None where there is none."""


class Mode(StrEnum):
    """What a match means."""

    BLACKLIST = "blacklist"
    """What matches is left out."""
    WHITELIST = "whitelist"
    """What does not match is left out."""


@dataclass(frozen=True, slots=True)
class Line:
    """One expression: the element that it looks at, and its line in the list."""

    number: int
    tag: int
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter; without lines and as a blacklist it lets everything through."""

    mode: Mode = Mode.BLACKLIST
    lines: tuple[Line, ...] = ()

    @property
    def tags(self) -> frozenset[int]:
        """The elements that the filter looks at."""
        return frozenset(line.tag for line in self.lines)

    def reason(self, read: ReadTag) -> str:
        """Why the instance with these values is left out, "" if it is not; never with a value of it.

        Raises:
            UserError: an expression takes too long for a value.
        """
        match = next((line for line in self.lines if _matches(line, read)), None)
        if self.mode is Mode.WHITELIST:
            return "" if match else "no line of the whitelist matches"
        return f"line {match.number} of the blacklist matches its {format_tag(match.tag)}" if match else ""


def _matches(line: Line, read: ReadTag) -> bool:
    value = read(line.tag)
    if value is None:
        return False
    try:
        return line.pattern.matches(value.replace("\r\n", "\n").replace("\r", "\n")[:_VALUE_LENGTH])
    except TooSlow as error:
        detail = f"{FILTER_TOOL}: line {line.number} takes too long. An administrator must simplify it."
        raise UserError("filter-too-slow", detail) from error


@lru_cache(maxsize=512)
def parse_filter(contents: str) -> Filter:
    """The filter of a config; one that is not enabled lets everything through.

    Raises:
        UserError: it is no filter; the text names the field or the line.
    """
    fields = _fields(contents)
    mode = str(fields.get("mode", ""))
    if mode == "modalityMap":
        raise _invalid("mode modalityMap is not supported, as in XNAT since 1.8.10; use blacklist or whitelist")
    if mode not in set(Mode):
        raise _invalid("mode must be blacklist or whitelist")
    lines = _lines(str(fields.get("list", "")))
    if str(fields.get("enabled", "true")).lower() != "true":
        return Filter()
    if mode == Mode.WHITELIST and not lines:
        raise _invalid("list is empty: such a whitelist would leave everything out")
    return Filter(Mode(mode), lines)


def _fields(contents: str) -> dict[str, object]:
    try:
        fields = json.loads(contents)
    except (ValueError, RecursionError) as error:
        raise _invalid(
            'it must be JSON such as {"mode": "blacklist", "list": ".*scout.*", "enabled": "true"}'
        ) from error
    if not isinstance(fields, dict):
        raise _invalid("it must be a JSON object with mode, list and enabled")
    enabled, lines = fields.get("enabled", "true"), fields.get("list", "")
    if str(enabled).lower() not in {"true", "false"}:
        raise _invalid("enabled must be true or false")
    if not isinstance(lines, str):
        raise _invalid("list must be a text with an expression a line")
    return fields


def _lines(text: str) -> tuple[Line, ...]:
    found, tag = list[Line](), _SERIES_DESCRIPTION
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        try:
            if _SECTION.fullmatch(stripped):
                tag = parse_tag(stripped[1:-1])
            elif stripped:
                found.append(Line(number, tag, pattern(stripped, ignore_case=True)))
        except ValueError as error:
            raise _invalid(f"line {number} of the list: {error}") from error
    if len(found) > _MOST_LINES:
        raise _invalid(f"the list has more than {_MOST_LINES} lines")
    return tuple(found)


def _invalid(detail: str) -> UserError:
    return UserError("config-invalid", f"{FILTER_TOOL}/config: {detail}.")

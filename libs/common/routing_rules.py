"""XNAT's routing rules: what of a header names project, subject and session (import semantics §4.3; pure).

A rule a line: `(gggg,eeee):REGEX[:group][ t:TARGET r:REPLACEMENT]`. The expression must match the whole value, of which
64 characters count; the group's text (the first where none is named), with every TARGET in it replaced, is the result.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from libs.common.dicom_tags import parse_tag
from libs.common.errors import UserError
from libs.common.java_patterns import Pattern, PatternError, Replacement, TooSlow, pattern

RULES_TOOL = "dicom"
PATHS = ("projectRules", "subjectRules", "sessionRules", "aaRules")
"""Configs of tool `dicom`, one for each attribute."""
VALUE_LENGTH = 64
_MOST_LINES = 200
_LINE = re.compile(r"(\([^)]*\)):(.+?)(?::(\d{1,2}))?(?:\s+t:(.*?)\s+r:(.*))?")

ReadTag = Callable[[int], str | None]
"""The value of a header's element by tag, None where there is none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line."""

    tag: int
    pattern: Pattern
    group: int = 1
    target: Pattern | None = None
    replacement: Replacement | None = None

    def apply(self, value: str) -> str:
        """What the rule makes of a value, "" if it does not match. Raises `TooSlow`."""
        value = value.replace("\r\n", "\n").replace("\r", "\n")[:VALUE_LENGTH]  # Java's dot stops at both
        said = self.pattern.group(value, self.group) or ""
        if said and self.target is not None and self.replacement is not None:
            said = self.target.replace(said, self.replacement)
        return said.strip()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one config, in their order. `path` names it in errors."""

    path: str
    rules: tuple[Rule, ...] = ()

    @property
    def tags(self) -> frozenset[int]:
        """The elements that the rules look at."""
        return frozenset(rule.tag for rule in self.rules)

    def say(self, read: ReadTag) -> str:
        """What the first rule that gives something gives, "" if none does. Raises as `candidates`."""
        return next(self.candidates(read), "")

    def candidates(self, read: ReadTag) -> Iterator[str]:
        """What each rule gives, as far as it gives something.

        Raises:
            UserError: a rule takes too long for this value, so what it would say is not known.
        """
        for number, rule in enumerate(self.rules, start=1):
            value = read(rule.tag)
            if value is None:
                continue
            try:
                said = rule.apply(value)
            except TooSlow as error:
                detail = f"{RULES_TOOL}/{self.path}: rule {number} takes too long. An administrator must simplify it."
                raise UserError("rule-too-slow", detail) from error
            if said:
                yield said


@lru_cache(maxsize=1024)
def parse_rules(path: str, contents: str) -> Rules:
    """The rules of a config; empty lines and those that begin with # do not count.

    Raises:
        UserError: a line is no rule; the text names the line and says why.
    """
    lines = [(number, line.strip()) for number, line in enumerate(contents.splitlines(), start=1)]
    stated = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if len(stated) > _MOST_LINES:
        raise UserError("config-invalid", f"{RULES_TOOL}/{path} has more than {_MOST_LINES} rules.")
    return Rules(path, tuple(_parse(path, number, line) for number, line in stated))


def _parse(path: str, number: int, line: str) -> Rule:
    try:
        return _rule(line)
    except ValueError as error:
        raise UserError("config-invalid", f"{RULES_TOOL}/{path} line {number}: {error}.") from error


def _rule(line: str) -> Rule:
    match = _LINE.fullmatch(line)
    if match is None:
        raise PatternError("it must have the form (gggg,eeee):REGEX[:group][ t:TARGET r:REPLACEMENT]")
    tag, expression, group, target, replacement = match.groups()
    said = pattern(expression)
    wanted = 1 if group is None else int(group)
    if wanted > said.groups:
        raise PatternError(f"the expression has no group {wanted}; put ( ) around what is to be taken, or write :0")
    if target is None:
        return Rule(parse_tag(tag), said, wanted)
    replaced = pattern(target)
    return Rule(parse_tag(tag), said, wanted, replaced, Replacement(replacement, replaced.groups))

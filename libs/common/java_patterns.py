"""Regular expressions as Java has them, for rules that were written for XNAT (pure).

What Java and we read alike is taken, what only one of them knows is refused when a rule is set: a rule must not mean
something else here. Matching is by the library `regex`, because it has Java's lookaround, possessive quantifiers and
class intersections, and a limit of time. RE2 would need no limit, but real rules use lookahead ("not localizer").
"""

from functools import lru_cache

import regex

MATCH_SECONDS = 0.5
"""No sensible expression needs a hundredth of it for a header's value; one that does backtracks catastrophically."""
LONGEST_PATTERN = 1000

_FLAGS = regex.V1  # nested classes and `&&`, as in Java
_CLASSES = {"w": "A-Za-z0-9_", "d": "0-9", "s": r"\ \t\n\x0b\f\r"}
"""Java's predefined classes are ASCII."""
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "XDigit": "0-9a-fA-F",
    "Punct": r"!-/:-@\[-`\{-~",
    "Graph": "!-~",
    "Print": r"\ -~",
    "ASCII": r"\x00-\x7f",
    "Blank": r"\ \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "Space": r"\ \t\n\x0b\f\r",
}
"""Java's POSIX classes are ASCII too."""
_SAME = frozenset("tnrfabBAGRXxu")
_DIGITS = frozenset("123456789")
_OPENINGS = (":", "=", "!", ">", "<=", "<!", "<")
_SET_OPERATORS = ("--", "~~", "||", "[:")


class PatternError(ValueError):
    """A pattern is none, or not one that means the same in Java and here; the text says why."""


class TooSlow(Exception):  # noqa: N818 - a situation, not a fault of the program
    """A match was given up: the expression backtracks without end on this value."""


class Pattern:
    """A compiled expression."""

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        """Raises `PatternError`."""
        self.text = text
        if len(text) > LONGEST_PATTERN:
            raise PatternError(f"the expression is longer than {LONGEST_PATTERN} characters")
        try:
            self._compiled = regex.compile(translate(text), _FLAGS | (regex.IGNORECASE if ignore_case else 0))
        except PatternError:
            raise
        except (regex.error, ValueError, OverflowError, RecursionError, MemoryError) as error:
            reason = str(error).split(" at position")[0]
            raise PatternError(f"the regular expression is not valid: {reason}") from error

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self._compiled.groups)

    def group(self, value: str, number: int) -> str | None:
        """What the group holds where the expression matches the whole value; None if it does not. Raises `TooSlow`."""
        try:
            match = self._compiled.fullmatch(value, timeout=MATCH_SECONDS)
        except TimeoutError as error:
            raise TooSlow from error
        return None if match is None else match[number]

    def matches(self, value: str) -> bool:
        """Whether the expression matches the whole value. Raises `TooSlow`."""
        return self.group(value, 0) is not None

    def replace(self, value: str, replacement: "Replacement") -> str:
        """The value with every match replaced (Java's `replaceAll`). Raises `TooSlow`."""
        try:
            return str(self._compiled.sub(lambda match: replacement.of(match.groups("")), value, timeout=MATCH_SECONDS))
        except TimeoutError as error:
            raise TooSlow from error


class Replacement:
    r"""What a match is replaced by: text, `$1` for a group, `\` before a character that is meant as it stands."""

    def __init__(self, text: str, groups: int) -> None:
        """Raises `PatternError` where a group is named that the expression lacks."""
        self._parts = list[str | int]()
        characters = iter(text)
        for character in characters:
            following = next(characters, "") if character in "\\$" else ""
            if character in "\\$" and not following:
                raise PatternError(f"the replacement ends in {character}")
            if character == "$":
                if not (following.isascii() and following.isdigit() and int(following) <= groups and following != "0"):
                    raise PatternError(f"the replacement names group {following}, which the target does not have")
                self._parts.append(int(following))
            else:
                self._parts.append(following or character)

    def of(self, groups: tuple[str, ...]) -> str:
        """The replacement of a match with these groups."""
        return "".join(part if isinstance(part, str) else groups[part - 1] for part in self._parts)


@lru_cache(maxsize=512)
def pattern(text: str, *, ignore_case: bool = False) -> Pattern:
    """As `Pattern`, kept for the next time."""
    return Pattern(text, ignore_case=ignore_case)


def translate(text: str) -> str:
    """The expression in `regex`'s syntax. Raises `PatternError` for what is not in both languages."""
    translated, position, depth = list[str](), 0, 0
    while position < len(text):
        part, length = _next(text, position, in_class=depth > 0)
        depth += {"[": 1, "]": -1}.get(part, 0) if length == 1 else 0
        translated.append(part)
        position += length
    return "".join(translated)


def _next(text: str, position: int, *, in_class: bool) -> tuple[str, int]:
    """The translation of what stands at `position`, and how long that is."""
    if text.startswith("\\Q", position):
        end = text.find("\\E", position + 2)
        quoted = text[position + 2 : end if end >= 0 else len(text)]
        return regex.escape(quoted), len(quoted) + 4 if end >= 0 else len(text) - position
    if text[position] == "\\":
        return _escape(text, position, in_class=in_class)
    if in_class and text.startswith(_SET_OPERATORS, position):
        raise PatternError(f"{text[position : position + 2]} in a class must be written with a backslash")
    if in_class:
        return text[position], 1
    if text.startswith("(*", position):
        raise PatternError("(* is not valid")
    if text.startswith("(?", position):
        _check_group(text, position + 2)
    if text[position] == "{":
        return _repetition(text, position)
    return text[position], 1


def _escape(text: str, position: int, *, in_class: bool) -> tuple[str, int]:
    character = text[position + 1 : position + 2]
    if not character:
        raise PatternError("it ends in a backslash")
    if character.lower() in _CLASSES:
        return _predefined(character, in_class=in_class), 2
    if character in "zZ":
        return r"\Z", 2
    if character in "pP":
        return _property(text, position, in_class=in_class)
    if character == "k" and (end := text.find(">", position)) > 0 and text[position + 2 : position + 3] == "<":
        return f"(?P={text[position + 3 : end]})", end + 1 - position
    if character.isascii() and character.isalnum() and character not in _SAME | _DIGITS:
        raise PatternError(f"\\{character} is not supported")
    if text.startswith("\\x{", position):
        raise PatternError("\\x{ is not supported; write \\xhh or \\uhhhh")
    return text[position : position + 2], 2


def _predefined(character: str, *, in_class: bool) -> str:
    members = _CLASSES[character.lower()]
    if character.isupper():
        return f"[^{members}]"
    return members if in_class else f"[{members}]"


def _property(text: str, position: int, *, in_class: bool) -> tuple[str, int]:
    match = regex.match(r"\\[pP](?:\{(\w+)\}|(\w))", text, pos=position)
    name = (match[1] or match[2]) if match else "java"
    if match is None or name.startswith(("java", "In")):
        raise PatternError("of \\p only \\p{L}, \\p{Lu}, \\p{Alpha}, \\p{IsLatin} and the like are supported")
    is_negated = match[0][1] == "P"
    if name not in _POSIX:
        return f"\\{match[0][1]}{{{name}}}", len(match[0])
    if is_negated:
        return f"[^{_POSIX[name]}]", len(match[0])
    return _POSIX[name] if in_class else f"[{_POSIX[name]}]", len(match[0])


def _check_group(text: str, position: int) -> None:
    flags = regex.match(r"[imsx]*(-[imsx]+)?[:)]", text, pos=position)
    if flags is None and not text.startswith(_OPENINGS, position):
        raise PatternError(f"(?{text[position : position + 1]} is not supported")


def _repetition(text: str, position: int) -> tuple[str, int]:
    match = regex.match(r"\{\d{1,4}(,\d{0,4})?\}", text, pos=position)
    if match is None:
        raise PatternError("{ must be written \\{ where it does not repeat")
    return match[0], len(match[0])

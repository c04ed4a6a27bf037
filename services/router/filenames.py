"""Names that the server gives to files: XNAT's template and hash (pure; import semantics §5, §5.1)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

NAME_LENGTH = 200

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_HASH = re.compile(r"Hash(\w+With\w+)")
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
_32_BITS = 0xFFFFFFFF
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class _Variable:
    """One `${…}` of a template: a keyword, or those whose values are hashed."""

    keywords: tuple[str, ...]
    is_hash: bool

    def value(self, texts: Mapping[str, str]) -> str:
        values = [texts.get(keyword) or f"no-value-for-{keyword}" for keyword in self.keywords]
        return list_hash(values) if self.is_hash else values[0]


def template_name(template: str, texts: Mapping[str, str]) -> str:
    """The name of a file whose elements are `texts`, by DICOM keyword: always a safe last part of a path.

    `${Keyword}` is that element's value, `${HashAWithB}` the hash of two or more; `no-value-for-Keyword` stands for
    what is missing. Leading dots go, `.dcm` comes where the template has no extension (XNAT). Slashes and control
    characters become "_"; a name that no file system takes is cut, and stays apart from others by its hash.
    """
    parts = _parse(template)
    name = "".join(part if isinstance(part, str) else part.value(texts) for part in parts)
    name = _UNSAFE.sub("_", name).lstrip(".").strip() or "no-name"
    extension = "" if template.rpartition(".")[2] not in {"", template} else ".dcm"
    if len(name) + len(extension) > NAME_LENGTH:
        tail = f"-{list_hash([name])}"
        name = name[: NAME_LENGTH - len(tail) - len(extension)] + tail
    return name + extension


def keywords_of(template: str) -> frozenset[str]:
    """The DICOM keywords whose values a template needs."""
    variables = (part for part in _parse(template) if not isinstance(part, str))
    return frozenset(keyword for variable in variables for keyword in variable.keywords)


def list_hash(values: Sequence[str]) -> str:
    """Java's hash of a list of strings: 32 bits, unsigned, in base 36 without padding (§5.1)."""
    total = 1
    for value in values:
        total = (31 * total + _string_hash(value)) & _32_BITS
    return _base36(total)


def _string_hash(text: str) -> int:
    """Java's `String.hashCode`: over UTF-16 code units."""
    units = text.encode("utf-16-be", "surrogatepass")
    total = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        total = (31 * total + (high << 8 | low)) & _32_BITS
    return total


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


@lru_cache(maxsize=64)
def _parse(template: str) -> tuple[str | _Variable, ...]:
    """Literal text and variables, in turn."""
    parts: list[str | _Variable] = []
    for number, part in enumerate(_VARIABLE.split(template)):
        hashed = _HASH.fullmatch(part) if number % 2 else None
        if number % 2 == 0:
            parts.append(part)
        elif hashed:
            parts.append(_Variable(tuple(hashed[1].split("With")), is_hash=True))
        else:
            parts.append(_Variable((part,), is_hash=False))
    return tuple(parts)

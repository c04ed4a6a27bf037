"""Parameters as they come, one text a name, and the words in them (pure; import semantics §1.1, §1.2)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from libs.common.errors import UserError

TEXT_LENGTH = 256
TRUE_WORDS = frozenset({"true", "1", "yes", "on", "y", "t"})
FALSE_WORDS = frozenset({"false", "0", "no", "off", "n", "f"})
SRC = "src"


@dataclass(frozen=True, slots=True)
class Values:
    """One value a name. Of blank ones a reader knows only that they are there."""

    by_name: Mapping[str, str]

    def has(self, name: str) -> bool:
        """Whether the parameter is there, blank or not."""
        return name in self.by_name

    def text(self, name: str) -> str:
        """Its value without blanks around it, "" where it is absent."""
        return self.by_name.get(name, "").strip()

    def first(self, *names: str) -> str:
        """The first of these that is not blank."""
        return self.text(self.first_name(names))

    def first_name(self, names: Iterable[str]) -> str:
        """The name of the first of these that is not blank, "" where all are."""
        return next((name for name in names if self.text(name)), "")

    def short(self, *names: str) -> str:
        """The first of these that is not blank, which must be short and printable."""
        name = self.first_name(names)
        text = self.text(name)
        if len(text) > TEXT_LENGTH or not text.isprintable():
            raise UserError("parameter-invalid", f"{name} must be printable, of at most {TEXT_LENGTH} characters.")
        return text

    def choice(self, *names: str) -> bool | None:
        """What the first of these that is not blank says, true or false; None where all are blank."""
        name = self.first_name(names)
        word = self.text(name).lower()
        if not word:
            return None
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise UserError("parameter-invalid", f"{name} must be true or false.")
        return word in TRUE_WORDS

    def flag(self, name: str) -> bool:
        """Whether it is there and true."""
        return self.choice(name) or False

    def word(self, name: str, allowed: Sequence[str]) -> str:
        """One of the `allowed` words without regard to case, "" where it is blank."""
        word = self.text(name).lower()
        if word and word not in allowed:
            known = ", ".join(allowed[:-1])
            raise UserError("parameter-invalid", f"{name} must be {known} or {allowed[-1]}.")
        return word


def merge(form: Iterable[tuple[str, str]], query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value a name: the query beats the form, and the last occurrence wins (§1.1); of `src` each one counts."""
    pairs = [*form, *query]
    merged = dict(pairs)
    if SRC in merged:
        merged[SRC] = ",".join(value for name, value in pairs if name == SRC and value.strip())
    return merged


def is_body_the_file(query: Mapping[str, str]) -> bool:
    """Whether `inbody` says so: present, and neither `false` nor `0` (§1.2)."""
    return "inbody" in query and query["inbody"].strip().lower() not in {"false", "0"}


def check_characters(values: Mapping[str, str]) -> None:
    """Raise `UserError` where a name or value holds what no database can."""
    for name, value in values.items():
        if "\0" in name + value:
            shown = name.replace("\0", "")[:64]
            raise UserError("parameter-invalid", f"{shown} holds a NUL character.")

"""What a refresh is asked for: addresses of archived things, and options (pure; import semantics §9.1)."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from libs.common.commands import CommandResult, RefreshOption
from libs.common.errors import UserError

RESOURCES = 1000
"""How many addresses one request may name."""
_FALSE_WORDS = frozenset({"false", "0"})
_XAPI_WORDS: Mapping[str, frozenset[RefreshOption]] = {
    "All": frozenset(RefreshOption),
    "Append": frozenset({RefreshOption.APPEND}),
    "Checksum": frozenset({RefreshOption.CHECKSUM}),
    "Delete": frozenset({RefreshOption.DELETE}),
    "PopulateStats": frozenset({RefreshOption.POPULATE_STATS}),
}

_S = "[^/]+"
_ADDRESS = re.compile(
    rf"/archive(?:/projects/(?P<project>{_S})(?:/subjects/(?P<subject>{_S}))?(?:/experiments/(?P<session>{_S}))?"
    rf"|/subjects/(?P<subject_id>{_S})|/experiments/(?P<session_id>{_S}))"
    rf"(?:/scans/(?P<scan>{_S})|/assessors/(?P<assessor>{_S})(?:/out)?"
    rf"|/(?:assessors|reconstructions)/(?P<other>{_S})(?:/in|/out)?)?"
    rf"(?:/resources/(?P<resource>{_S}))?(?P<file>/files(?:/.*)?)?"
)
_ELSEWHERE = re.compile(r"/(prearchive|user/cache)(/.*)?")


@dataclass(frozen=True, slots=True)
class Address:
    """One archived thing as a client names it: `text` is what was sent. What it does not name is None.

    `has_other`: it names a reconstruction.
    """

    text: str
    project: str | None
    subject: str | None
    session: str | None
    scan: str | None
    resource: str | None
    has_other: bool
    assessor: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its addresses, and its options, None where the site decides; `off` are those that it switches off."""

    addresses: Sequence[Address]
    on: frozenset[RefreshOption]
    off: frozenset[RefreshOption] = frozenset()

    def options(self, *, checksums: bool) -> frozenset[RefreshOption]:
        """What is to be done. None named means all, checksums only where the site keeps them."""
        if self.on:
            return self.on
        all_options = frozenset(RefreshOption) - self.off
        return all_options if checksums else all_options - {RefreshOption.CHECKSUM}


def read_asked(pairs: Iterable[tuple[str, str]]) -> Asked:
    """The parameters of `POST /data/services/refresh/catalog`, from its body and its query together.

    Raises:
        UserError: an option is unknown, or an address is of no known form; each is named.
    """
    found = list(pairs)
    words = [word for name, value in found if name == "options" for word in value.split(",") if word.strip()]
    on = {_option(word.strip()) for word in words}
    named = {name: value.strip().lower() for name, value in found if name in set(RefreshOption)}
    on |= {RefreshOption(name) for name, value in named.items() if value not in _FALSE_WORDS}
    off = frozenset(RefreshOption(name) for name, value in named.items() if value in _FALSE_WORDS)
    return Asked(read_addresses(value for name, value in found if name == "resource"), frozenset(on), off)


def _option(word: str) -> RefreshOption:
    try:
        return RefreshOption(word)
    except ValueError as error:
        words = ", ".join(RefreshOption)
        raise UserError("parameter-invalid", f"options must be of {words}; {word[:64]} is none of them.") from error


def read_operations(text: str) -> frozenset[RefreshOption]:
    """The operations of the XAPI form. Raises `UserError` for a word that is none."""
    options: frozenset[RefreshOption] = frozenset()
    for word in text.split(","):
        if word not in _XAPI_WORDS:
            told = f"Operations must be of {', '.join(_XAPI_WORDS)}; {word[:64]} is none of them."
            raise UserError("parameter-invalid", told)
        options |= _XAPI_WORDS[word]
    return options


def read_array(body: bytes) -> list[Address]:
    """The JSON array of addresses of the XAPI form. Raises `UserError`."""
    try:
        found = json.loads(body or b"[]")
    except (ValueError, RecursionError) as error:
        raise UserError("document-malformed", "The body must be a JSON array of resource URIs.") from error
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise UserError("document-malformed", "The body must be a JSON array of resource URIs.")
    return read_addresses(found)


def read_addresses(texts: Iterable[str]) -> list[Address]:
    """The addresses, each once. Raises `UserError` that names all that are of no known form, by XNAT's words."""
    found, problems = list[Address](), list[UserError]()
    for text in dict.fromkeys(texts):
        try:
            found.append(_read_address(text))
        except UserError as error:
            problems.append(error)
    raise_first(problems)
    if len(found) > RESOURCES:
        raise UserError("limit-resources", f"A refresh may name at most {RESOURCES} resources.")
    return found


def raise_first(problems: Sequence[UserError]) -> None:
    """Raise the first problem, with the texts of all, a line each."""
    if problems:
        raise UserError(problems[0].code, "\n".join(each.detail for each in problems))


def _read_address(text: str) -> Address:
    path = re.sub(r"^/(data|REST)(?=/)", "", text.strip()).rstrip("/")
    match = _ADDRESS.fullmatch(path)
    if match is None and not _ELSEWHERE.fullmatch(path):
        raise UserError("uri-malformed", f"Malformed URI: {text}")
    if match is None or match["file"]:
        raise UserError("uri-invalid", f"Invalid URI: {text}")
    part = {name: None if value is None else unquote(value) for name, value in match.groupdict().items()}
    session = part["session"] or part["session_id"]
    if session is None and (part["scan"] or part["assessor"] or part["other"]):
        raise UserError("uri-malformed", f"Malformed URI: {text}")
    subject = part["subject"] or part["subject_id"]
    has_other = part["other"] is not None
    scan, assessor = part["scan"], part["assessor"]
    return Address(text, part["project"], subject, session, scan, part["resource"], has_other, assessor)


def outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """The folders without those that lie in another of them; "" is all."""
    found = set(folders)
    if "" in found:
        return ()
    return tuple(sorted(each for each in found if not any(each.startswith(f"{other}/") for other in found)))


def report(results: Iterable[CommandResult]) -> bytes:
    """What was done to each resource, as JSON."""
    lines = [
        {
            "resource": _uri_of(result.session_id, line.folder),
            "added": line.added,
            "modified": line.modified,
            "removed": line.removed,
            "problem": line.problem,
        }
        for result in results
        for line in result.refreshed
    ]
    return json.dumps({"refreshed": lines}, ensure_ascii=False).encode()


def _uri_of(session_id: str, folder: str) -> str:
    tree, *parts = (quote(part) for part in folder.split("/"))
    above = {"SCANS": f"/scans/{parts[0]}", "ASSESSORS": f"/assessors/{parts[0]}"}.get(tree, "")
    return f"/archive/experiments/{quote(session_id)}{above}/resources/{parts[-1]}"

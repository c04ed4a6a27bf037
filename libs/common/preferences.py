"""Site preferences under XNAT's names, and the project settings that override them: what they may be, typed.

A preference is a row of `configs` with tool `siteConfig` and its name as path. Services load them in the transaction
that decides something by them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.configs import Configs, load_configs
from libs.common.dicom_classes import PetMr
from libs.common.errors import UserError

SITE_TOOL = "siteConfig"
PET_MR_TOOL = "separatePETMR"
CONFIG_PATH = "config"
"""The path of tools that have one text alone."""

FILE_NAME_TEMPLATE = "${StudyInstanceUID}-${SeriesNumber}-${InstanceNumber}-${HashSOPClassUIDWithSOPInstanceUID}"  # §5
_LONGEST_TEMPLATE = 500
_LONGEST_MINUTES = 7 * 24 * 60
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9]+)\}")

Value = bool | int | str


def _read_boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _read_minutes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= _LONGEST_MINUTES):
        raise ValueError(f"must be a whole number of minutes from 0 to {_LONGEST_MINUTES}")
    return int(text)


def _read_word(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return read


def _read_template(text: str) -> str:
    """A file name with `${Keyword}` and `${HashAWithB}` in it (§5)."""
    rest = _VARIABLE.sub("", text)
    if not _VARIABLE.search(text):
        raise ValueError("must name at least one element, such as ${SOPInstanceUID}")
    if "$" in rest or "{" in rest or "}" in rest:
        raise ValueError("has a $, { or } that begins or ends no ${Keyword}")
    if not re.fullmatch(r"[\w. -]*", rest, re.ASCII):
        raise ValueError("may hold letters, digits, _, -, dots and spaces beside its ${Keyword}s")
    if len(text) > _LONGEST_TEMPLATE:
        raise ValueError(f"must not be longer than {_LONGEST_TEMPLATE} characters")
    return text


@dataclass(frozen=True, slots=True)
class Preference:
    """One site preference: its text where none is set, and how a text is read."""

    default: str
    read: Callable[[str], Value]
    meaning: str

    def value(self, text: str | None) -> Value:
        """What `text` means; the default where there is none, or one that an older version allowed."""
        try:
            return self.read(self.default if text is None else text.strip())
        except ValueError:
            return self.read(self.default)


PREFERENCES: Mapping[str, Preference] = {
    "dicomFileNameTemplate": Preference(
        FILE_NAME_TEMPLATE, _read_template, "What files are called where names are made (rename=true)"
    ),
    "useSopInstanceUidToUniquelyIdentifyDicom": Preference(
        "true", _read_boolean, "Whether a file meets the one of its SOP Instance UID, or that of its name alone"
    ),
    "sessionXmlRebuilderInterval": Preference(
        "5", _read_minutes, "Minutes without new files after which a session is built"
    ),
    "preventCrossModalityMerge": Preference(
        "true", _read_boolean, "Whether an upload of another session type is kept out of an archived session"
    ),
    "checksums": Preference("true", _read_boolean, "Whether a refresh without options makes checksums again"),
}
"""By XNAT's names: those that something follows from. Others are settings of the services, or do not exist."""

read_pet_mr = _read_word(*PetMr)
"""Reads the text of the config `separatePETMR/config`, of the site or a project (§4.4)."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What is set for a project; without one, for the site."""

    file_name_template: str = FILE_NAME_TEMPLATE
    matches_by_uid: bool = True
    rebuild_after_minutes: int = 5
    prevents_cross_modality_merge: bool = True
    checksums: bool = True
    pet_mr: PetMr = PetMr.PETMR


def check_preference(name: str, text: str) -> str:
    """The text to be stored for a preference. Raises `UserError` if there is no such one, or it can't have the text."""
    preference = PREFERENCES.get(name)
    if preference is None:
        raise UserError("not-found", f"There is no site preference {name}. There are: {', '.join(PREFERENCES)}.")
    try:
        value = preference.read(text.strip())
    except ValueError as error:
        raise UserError("parameter-invalid", f"{name} {error}.") from error
    return text_of(value)


def text_of(value: Value) -> str:
    """A value as it is stored."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def preferences_of(found: Configs, project: str | None = None) -> Preferences:
    """What `found` says, with XNAT's defaults (pure)."""

    def value(name: str) -> Value:
        return PREFERENCES[name].value(found.site(SITE_TOOL, name))

    return Preferences(
        file_name_template=str(value("dicomFileNameTemplate")),
        matches_by_uid=bool(value("useSopInstanceUidToUniquelyIdentifyDicom")),
        rebuild_after_minutes=int(value("sessionXmlRebuilderInterval")),
        prevents_cross_modality_merge=bool(value("preventCrossModalityMerge")),
        checksums=bool(value("checksums")),
        pet_mr=_pet_mr(found, project),
    )


def _pet_mr(found: Configs, project: str | None) -> PetMr:
    """The project's setting, else the site's, else one session (§4.4)."""
    texts = (found.project(project, PET_MR_TOOL, CONFIG_PATH), found.site(PET_MR_TOOL, CONFIG_PATH))
    return next((PetMr(text.strip()) for text in texts if text and text.strip() in set(PetMr)), PetMr.PETMR)


async def load_preferences(connection: AsyncConnection, project: str | None = None) -> Preferences:
    """What is set for a project, or for the site alone: one query."""
    return preferences_of(await load_configs(connection, (SITE_TOOL, PET_MR_TOOL), project), project)

"""The preferences that `/xapi/siteConfig` shows and sets: also those that XNAT keeps in its config service."""

import json
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import User
from libs.common.configs import Configs, Place, load_configs
from libs.common.errors import UserError
from libs.common.preferences import (
    CONFIG_PATH,
    PET_MR_TOOL,
    PREFERENCES,
    SITE_TOOL,
    Value,
    check_preference,
    preferences_of,
    text_of,
)
from libs.common.series_filters import FILTER_TOOL
from services.gateway.config import NO_ANONYMIZATION, Change, put

PET_MR = "sitewidePetMr"
FILTER_FIELDS: Mapping[str, tuple[str, Value]] = {
    "enableSitewideSeriesImportFilter": ("enabled", False),
    "sitewideSeriesImportFilterMode": ("mode", "blacklist"),
    "sitewideSeriesImportFilter": ("list", ""),
}
"""Preference -> field of the site's series import filter, and what it is without one."""
ANONYMIZATION: Mapping[str, Value] = {"enableSitewideAnonymizationScript": False, "sitewideAnonymizationScript": ""}
"""What a site without anonymization says."""
_FILTER = Place(None, FILTER_TOOL, CONFIG_PATH)
_TOOLS = (SITE_TOOL, PET_MR_TOOL, FILTER_TOOL)


async def read_values(connection: AsyncConnection) -> dict[str, Value]:
    """Every preference by its name."""
    return values_of(await load_configs(connection, _TOOLS))


def values_of(configs: Configs) -> dict[str, Value]:
    """Every preference by its name (pure)."""
    own = {name: preference.value(configs.site(SITE_TOOL, name)) for name, preference in PREFERENCES.items()}
    fields = _filter_fields(configs)
    shown = {name: fields.get(field, default) for name, (field, default) in FILTER_FIELDS.items()}
    shown["enableSitewideSeriesImportFilter"] = str(shown["enableSitewideSeriesImportFilter"]).lower() == "true"
    return {**own, PET_MR: preferences_of(configs).pet_mr.value, **shown, **ANONYMIZATION}


def _filter_fields(configs: Configs) -> dict[str, Value]:
    try:
        fields = json.loads(configs.site(FILTER_TOOL, CONFIG_PATH) or "{}")
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


async def write_values(connection: AsyncConnection, user: User, values: Mapping[str, str]) -> None:
    """Set preferences, all or none. The caller has seen to it that the user may.

    Raises:
        UserError: a name is unknown (`not-found`), or a value can't be.
    """
    configs = await load_configs(connection, _TOOLS)
    for place, contents in changes_of(configs, values).items():
        if configs.contents.get(place) != contents:
            await put(connection, user, place, Change(contents, reason="site preferences"))


def changes_of(configs: Configs, values: Mapping[str, str]) -> dict[Place, str]:
    """The texts that these preferences are stored in (pure). Raises `UserError` as `write_values`."""
    changes: dict[Place, str] = {}
    fields = {"mode": "blacklist", "list": "", "enabled": "false", **_filter_fields(configs)}
    for name, text in values.items():
        if name in ANONYMIZATION:
            if text.strip().lower() not in {"", "false"}:
                raise NO_ANONYMIZATION
        elif name == PET_MR:
            changes[Place(None, PET_MR_TOOL, CONFIG_PATH)] = text.strip() or preferences_of(Configs()).pet_mr.value
        elif name in FILTER_FIELDS:
            fields[FILTER_FIELDS[name][0]] = text
            changes[_FILTER] = json.dumps(fields)
        else:
            changes[Place(None, SITE_TOOL, name)] = check_preference(name, text)
    return changes


def read_texts(document: bytes) -> dict[str, str]:
    """Preferences out of a JSON object. Raises `UserError` where it is none."""
    try:
        fields = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise UserError("document-malformed", "The preferences must be a JSON object of names and values.") from error
    if not isinstance(fields, dict):
        raise UserError("document-malformed", "The preferences must be a JSON object of names and values.")
    return {name: _text(name, value) for name, value in fields.items()}


def read_text(name: str, document: bytes) -> str:
    """One preference's text, out of JSON or as it stands. Raises `UserError` where it is no text."""
    try:
        return _text(name, json.loads(document))
    except (ValueError, RecursionError):
        pass
    try:
        return document.decode()
    except UnicodeDecodeError as error:
        raise UserError("document-malformed", f"{name} must be text in UTF-8.") from error


def _text(name: str, value: object) -> str:
    if not isinstance(value, bool | int | str):
        raise UserError("parameter-invalid", f"{name} must be a text, a number, true or false.")
    return text_of(value)

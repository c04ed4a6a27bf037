"""XNAT's config service: texts of the site and of projects, by tool and path, each change a version (clients §6)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import User
from libs.common.configs import Place
from libs.common.errors import UserError
from libs.common.preferences import CONFIG_PATH, PET_MR_TOOL, SITE_TOOL, check_preference, read_pet_mr
from libs.common.routing_rules import PATHS, RULES_TOOL, parse_rules
from libs.common.schema import configs
from libs.common.series_filters import FILTER_TOOL, parse_filter
from services.gateway.tables import Row, moment

COLUMNS = ("tool", "path", "project", "user", "create_date", "reason", "contents", "version", "status")
"""Of one text; without `contents` where only the rest is asked for."""
TEXT_LENGTH = 255
ANONYMIZATION_TOOLS = frozenset({"anon", "edit"})
NO_ANONYMIZATION = UserError(
    "anonymization-unsupported",
    "Anonymization scripts are not run by this service, so none can be set: anonymize data before they are sent.",
)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a text."""

    place: Place
    number: int
    contents: str
    enabled: bool
    reason: str
    created_by: str
    created_at: datetime

    def row(self) -> Row:
        """As XNAT's table has it."""
        return {
            "tool": self.place.tool,
            "path": self.place.path,
            "project": self.place.project or "",
            "user": self.created_by,
            "create_date": moment(self.created_at),
            "reason": self.reason,
            "contents": self.contents,
            "version": str(self.number),
            "status": "enabled" if self.enabled else "disabled",
        }


@dataclass(frozen=True, slots=True)
class Change:
    """What a PUT wants: None is as it was; new contents are enabled unless it says otherwise."""

    contents: str | None = None
    enabled: bool | None = None
    reason: str = ""


def check(place: Place, contents: str) -> str:
    """The contents as they are stored, if the place may have them (pure).

    Raises:
        UserError: they mean nothing there; the text names the line or the field.
    """
    if "\0" in contents:
        raise UserError("config-invalid", f"{place.tool}/{place.path}: the contents must be text, without NUL.")
    if max(len(place.tool), len(place.path)) > TEXT_LENGTH or not f"{place.tool}{place.path}".isprintable():
        raise UserError("parameter-invalid", f"Tool and path are printable, of at most {TEXT_LENGTH} characters each.")
    if place.tool in ANONYMIZATION_TOOLS and contents.strip().lower() not in {"", "false"}:
        raise NO_ANONYMIZATION
    if place.tool == SITE_TOOL:
        return _check_preference(place, contents)
    if place.tool == RULES_TOOL and place.path in PATHS:
        _check_rules(place, contents)
    elif (reader := _READERS.get((place.tool, place.path))) is not None:
        reader(contents)
    return contents


def _check_preference(place: Place, contents: str) -> str:
    if place.project is not None:
        raise UserError("config-invalid", f"{SITE_TOOL} holds the site's preferences; a project has none.")
    return check_preference(place.path, contents)


def _check_rules(place: Place, contents: str) -> None:
    if place.path == "projectRules" and place.project is not None:
        raise UserError("config-invalid", f"{RULES_TOOL}/projectRules find the project: they are the site's alone.")
    parse_rules(place.path, contents)


def _check_pet_mr(contents: str) -> None:
    try:
        read_pet_mr(contents.strip())
    except ValueError as error:
        raise UserError("config-invalid", f"{PET_MR_TOOL}/{CONFIG_PATH} {error}.") from error


_READERS: Mapping[tuple[str, str], Callable[[str], object]] = {
    (FILTER_TOOL, CONFIG_PATH): parse_filter,
    (PET_MR_TOOL, CONFIG_PATH): _check_pet_mr,
}


async def list_tools(connection: AsyncConnection, project: str | None) -> Sequence[str]:
    """The tools that have a text, of the site or a project."""
    query = sa.select(configs.c.tool).where(_is_of(project)).distinct().order_by(configs.c.tool)
    return list(await connection.scalars(query))


async def newest(connection: AsyncConnection, project: str | None, tool: str, path: str | None) -> Sequence[Version]:
    """The newest version at a path, or at every path of a tool; none where nothing was ever set."""
    columns = configs.c
    query = sa.select(configs).where(_is_of(project), columns.tool == tool)
    if path is not None:
        query = query.where(columns.path == path)
    query = query.ext(distinct_on(columns.path)).order_by(columns.path, columns.version.desc())
    rows = await connection.execute(query)
    return [_version(row) for row in rows]


async def history(connection: AsyncConnection, place: Place) -> Sequence[Version]:
    """Every version of a text, the oldest first."""
    columns = configs.c
    is_it = sa.and_(_is_of(place.project), columns.tool == place.tool, columns.path == place.path)
    rows = await connection.execute(sa.select(configs).where(is_it).order_by(columns.version))
    return [_version(row) for row in rows]


async def put(connection: AsyncConnection, user: User, place: Place, change: Change) -> bool:
    """Write the next version; whether it is the first one. The caller has seen to it that the user may.

    Raises:
        UserError: the contents mean nothing there, or there are none whose status could change.
    """
    key = f"config/{place.project or ''}/{place.tool}/{place.path}"
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(key, 0))))
    before = await newest(connection, place.project, place.tool, place.path)
    if change.contents is None and not before:
        raise UserError("not-found", f"{place.tool}/{place.path} has no contents: send them as the body.")
    contents = before[0].contents if change.contents is None else check(place, change.contents)
    await connection.execute(
        sa.insert(configs).values(
            project=place.project,
            tool=place.tool,
            path=place.path,
            version=before[0].number + 1 if before else 1,
            contents=contents,
            enabled=True if change.enabled is None else change.enabled,
            reason=change.reason[:TEXT_LENGTH],
            created_by=user.login,
        )
    )
    return not before


def _is_of(project: str | None) -> sa.ColumnElement[bool]:
    return configs.c.project.is_(None) if project is None else configs.c.project == project


def _version(row: "sa.Row[tuple[object, ...]]") -> Version:
    place = Place(row.project, row.tool, row.path)
    return Version(place, row.version, row.contents, row.enabled, row.reason, row.created_by, row.created_at)

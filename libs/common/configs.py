"""XNAT's config service as services read it: texts by project, tool and path, of which the newest version counts."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.schema import configs

EVERY_PROJECT = "*"
"""No project has this ID."""


class Place(NamedTuple):
    """Where a text is set; `project` None is the site."""

    project: str | None
    tool: str
    path: str


@dataclass(frozen=True, slots=True)
class Configs:
    """The texts that are in force: those whose newest version is enabled."""

    contents: Mapping[Place, str] = field(default_factory=dict)

    def site(self, tool: str, path: str) -> str | None:
        """The site's text, None where none is in force."""
        return self.contents.get(Place(None, tool, path))

    def project(self, project: str | None, tool: str, path: str) -> str | None:
        """A project's own text, None where none is in force."""
        return None if project is None else self.contents.get(Place(project, tool, path))

    def of_tool(self, tool: str) -> Iterator[tuple[Place, str]]:
        """Every text of a tool."""
        return ((place, contents) for place, contents in self.contents.items() if place.tool == tool)


async def load_configs(connection: AsyncConnection, tools: Collection[str], project: str | None = None) -> Configs:
    """What is in force for the site, and for `project` or `EVERY_PROJECT`, of some tools: one query."""
    columns = configs.c
    place = (columns.project, columns.tool, columns.path)
    query = (
        sa.select(*place, columns.contents, columns.enabled)
        .ext(distinct_on(*place))
        .where(columns.tool.in_(sorted(tools)))
        .order_by(*place, columns.version.desc())
    )
    if project != EVERY_PROJECT:
        query = query.where(sa.or_(columns.project.is_(None), columns.project == project))
    rows = await connection.execute(query)
    return Configs({Place(row.project, row.tool, row.path): row.contents for row in rows if row.enabled})

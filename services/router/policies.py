"""What the site and its projects want of an import: routing rules, filters, preferences. Read once a batch."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.configs import EVERY_PROJECT, Configs, Place, load_configs
from libs.common.errors import UserError
from libs.common.preferences import CONFIG_PATH, SITE_TOOL, Preferences, preferences_of
from libs.common.routing_rules import PATHS, RULES_TOOL, Rules, parse_rules
from libs.common.series_filters import FILTER_TOOL, Filter, parse_filter
from services.router.filters import Filters
from services.router.routing import Routing

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Policies:
    """What is in force while a batch is routed."""

    preferences: Preferences = field(default_factory=Preferences)
    routing: Routing = field(default_factory=Routing)
    filters: Filters = field(default_factory=Filters)

    @property
    def tags(self) -> frozenset[int]:
        """The elements of a header that rules and filters look at."""
        return self.routing.tags | self.filters.tags


async def load_policies(connection: AsyncConnection, project: str | None) -> Policies:
    """What is in force for the site and `project`; for every project where the headers are to name it: one query.

    Raises:
        UserError: a config that counts here is none, which only a change behind the gateway's back can do.
    """
    tools = (RULES_TOOL, FILTER_TOOL, SITE_TOOL)
    return policies_of(await load_configs(connection, tools, EVERY_PROJECT if project is None else project), project)


def policies_of(configs: Configs, project: str | None) -> Policies:
    """What `configs` mean (pure). Of projects that nobody has named, a broken config does not count."""
    rules: dict[str | None, dict[str, Rules]] = defaultdict(dict)
    filters: dict[str | None, Filter] = {}
    for place, contents in configs.of_tool(RULES_TOOL):
        if place.path in PATHS and (parsed := _parse(place, project, partial(parse_rules, place.path, contents))):
            rules[place.project][place.path] = parsed
    for place, contents in configs.of_tool(FILTER_TOOL):
        if place.path == CONFIG_PATH and (one := _parse(place, project, partial(parse_filter, contents))):
            filters[place.project] = one
    return Policies(
        preferences_of(configs, project),
        Routing(rules.pop(None, {}), {name: found for name, found in rules.items() if name}),
        Filters(filters.pop(None, None), {name: found for name, found in filters.items() if name}),
    )


def _parse(place: Place, project: str | None, parse: Callable[[], Parsed]) -> Parsed | None:
    try:
        return parse()
    except UserError:
        if place.project in {None, project}:
            raise
        return None

"""The routing rules that are in force: the site's, then the project's own (pure; import semantics §4.1, §4.3)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from libs.common.dicom_tags import format_tag
from libs.common.routing_rules import Rules

Texts = Mapping[str, str]
"""A header's values by DICOM keyword, empty ones absent; and of the elements that rules look at by `(gggg,eeee)`."""
RulesByPath = Mapping[str, Rules]
"""Rules by the path of their config, such as `sessionRules`."""


@dataclass(frozen=True, slots=True)
class Routing:
    """The rules of the site, and of the projects that have their own."""

    site: RulesByPath = field(default_factory=dict)
    projects: Mapping[str, RulesByPath] = field(default_factory=dict)

    @property
    def tags(self) -> frozenset[int]:
        """The elements that any rule looks at."""
        every = [*self.site.values(), *(rules for paths in self.projects.values() for rules in paths.values())]
        return frozenset(tag for rules in every for tag in rules.tags)

    def candidates(self, texts: Texts) -> Iterator[str]:
        """What may name the project, by the site's rules in their order. Raises `UserError` as `Rules.say`."""
        if rules := self.site.get("projectRules"):
            yield from rules.candidates(lambda tag: texts.get(format_tag(tag)))

    def say(self, path: str, project: str | None, texts: Texts) -> str:
        """What the rules of a path give: the site's, else the project's; "" if none does. Raises as `Rules.say`."""
        for paths in (self.site, self.projects.get(project or "", {})):
            if (rules := paths.get(path)) and (said := rules.say(lambda tag: texts.get(format_tag(tag)))):
                return said
        return ""


NO_ROUTING = Routing()

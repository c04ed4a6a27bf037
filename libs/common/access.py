"""Who may do what to which project (pure): the gateway and the router ask the same rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """XNAT's project roles, strongest first."""

    OWNER = "owner"
    MEMBER = "member"
    COLLABORATOR = "collaborator"


class Action(StrEnum):
    """What a user wants with a project."""

    READ = "read"
    EDIT = "edit"
    """Import, archive, change sessions."""
    ADMINISTER = "administer"
    """Change settings and members."""


@dataclass(frozen=True)
class User:
    """An authenticated user, with the role in each project that has one for him."""

    login: str
    admin: bool = False
    roles: Mapping[str, Role] = field(default_factory=dict)


_NEEDS = {
    Action.READ: frozenset(Role),
    Action.EDIT: frozenset({Role.OWNER, Role.MEMBER}),
    Action.ADMINISTER: frozenset({Role.OWNER}),
}


def may(user: User, action: Action, project: str, accessibility: str = "private") -> bool:
    """Whether `user` may do `action`: admins may all, anyone may read a public project, else the role decides."""
    if user.admin:
        return True
    if action is Action.READ and accessibility == "public":
        return True
    return user.roles.get(project) in _NEEDS[action]


def may_read_unassigned(user: User) -> bool:
    """The prearchive without a project is for site administrators (import semantics §2.1)."""
    return user.admin

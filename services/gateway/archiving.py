"""Where an archiving or a move goes, looked up: IDs, aliases, and whether its sender may (import semantics §9.3)."""

from collections.abc import Mapping
from dataclasses import replace

from libs.common.access import Action, User, may_read_unassigned
from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.names import UNASSIGNED
from services.gateway.command_parameters import Archiving, read_archiving
from services.gateway.destinations import find_project, resolve
from services.gateway.parts import Parts
from services.gateway.places import Session


async def resolve_archiving(
    parts: Parts, user: User, values: Mapping[str, str], entry: Session | None = None
) -> Archiving:
    """What is asked of the archiving of `entry`, with labels in place of IDs.

    Raises:
        UserError: a parameter is bad, or names another project than the entry's: archiving moves nothing (§7.3).
    """
    asked = read_archiving(values, parts.settings.duplicates)
    if entry is None:
        return asked
    wanted = asked.destination
    if wanted.project is None and asked.id_of is None:
        wanted = wanted.model_copy(update={"project": entry.project})
    async with transaction(parts.engine) as connection:
        found = await resolve(connection, user, wanted, asked.id_of)
    if found.project != entry.project and entry.project is not None:
        detail = "Invalid modification of session project via archive process. Move it to that project first."
        raise UserError("conflict-project-differs", detail)
    labels = {"subject": found.subject, "session": found.session}
    return replace(asked, archive=asked.archive.model_copy(update=labels), destination=found)


async def find_destination(parts: Parts, user: User, values: Mapping[str, str]) -> str | None:
    """The project that `newProject` names, None for Unassigned.

    Raises:
        UserError: it is missing, unknown, or the user may not import there.
    """
    name = values.get("newProject", "").strip()
    if not name:
        raise UserError("parameter-invalid", "newProject must name the project to move to.")
    if name.lower() == UNASSIGNED.lower():
        if not may_read_unassigned(user):
            raise UserError("forbidden", "Invalid permissions for new project. Unassigned is for administrators.")
        return None
    async with transaction(parts.engine) as connection:
        try:
            return await find_project(connection, user, name, Action.EDIT)
        except UserError as error:
            if error.code != "forbidden":
                raise
            raise UserError("forbidden", f"Invalid permissions for new project. {error.detail}") from error

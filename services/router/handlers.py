"""Reading headers and giving each member its session: *read, decide, do, tell*."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import transaction
from libs.common.importers import IMPORTERS
from libs.common.messages import MembersFound, MembersRouted
from libs.common.storage import ObjectStore
from services.router import batches, ecat_members, entries
from services.router.batches import Batch
from services.router.headers import Header, NotDicom
from services.router.heads import read_headers
from services.router.rules import Identity, identify, project_candidates
from services.router.studies import Study, group


async def route_members(
    message: MembersFound, store: ObjectStore, engine: AsyncEngine, site_id: str
) -> list[MembersRouted]:
    """Give each member of a batch its session, or the reason why it has none.

    Safe to repeat: a batch is routed in one transaction, once; what it opens is found again by import and study.

    Raises:
        UserError: the project that was asked for is gone, or a parameter for ECAT scans is no number.
    """
    async with transaction(engine) as connection:
        batch = await batches.load(connection, message)
    if batch is None:
        return []
    importer = IMPORTERS[batch.request.handler]
    outcomes = ecat_members.admit(await read_headers(store, batch.members), batch.members, importer)
    headers = {ordinal: outcome for ordinal, outcome in outcomes.items() if isinstance(outcome, Header)}
    skipped = {ordinal: outcome for ordinal, outcome in outcomes.items() if isinstance(outcome, NotDicom)}
    async with transaction(engine) as connection:
        if await batches.lock(connection, batch.batch_id):
            studies = ecat_members.state_scans(group(headers), headers, batch.request.xml_paths)
            opened = await _open_entries(connection, batch, studies, site_id)
            await entries.join_import(connection, batch, studies, opened)
            await batches.write_members(connection, batch, headers, opened)
            await batches.write_skipped(connection, batch, skipped)
            await batches.write_series(connection, batch, studies, opened)
            await batches.mark_routed(connection, batch)
    return [MembersRouted(import_id=batch.import_id, batch_id=batch.batch_id)]


async def _open_entries(
    connection: AsyncConnection, batch: Batch, studies: Sequence[Study], site_id: str
) -> dict[str, str]:
    if not studies:
        return {}
    identities = await _identify(connection, batch, studies)
    return dict(await entries.open_entries(connection, batch, identities, site_id))


async def _identify(connection: AsyncConnection, batch: Batch, studies: Sequence[Study]) -> dict[str, Identity]:
    destination = batch.request.destination
    usable = {}
    if destination.project is None:
        candidates = {name for study in studies for texts in study.headers for name in project_candidates(texts)}
        usable = dict(await entries.usable_projects(connection, batch.login, candidates))
    else:
        await entries.check_project(connection, destination.project)
    return {study.study_instance_uid: identify(study.headers, destination, usable) for study in studies}

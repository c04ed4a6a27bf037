"""Reading headers and giving each member its session: *read, decide, do, tell*."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import hold_import, transaction
from libs.common.entries import take_back
from libs.common.errors import UserError
from libs.common.importers import IMPORTERS, Entries, Reads
from libs.common.messages import MembersFound, MembersRouted
from libs.common.preferences import load_preferences
from libs.common.storage import ObjectStore
from services.router import batches, ecat_members, entries, shared_entries
from services.router.batches import Batch
from services.router.filenames import template_name
from services.router.headers import Header, NotDicom
from services.router.heads import read_headers
from services.router.refusals import complete, refusal
from services.router.rules import Identity, identify, project_candidates
from services.router.studies import Study, group
from services.router.xar import route_documents


async def route_members(
    message: MembersFound, store: ObjectStore, engine: AsyncEngine, site_id: str
) -> list[MembersRouted]:
    """Give each member of a batch its session, or the reason why it has none.

    Safe to repeat: a batch is routed in one transaction, once; what it opens is found again by import and study.

    Raises:
        UserError: the project that was asked for is gone, `dest` names an entry of another study, a parameter for
            ECAT scans is no number, or a member is not DICOM and the sender wants all of them or none.
    """
    async with transaction(engine) as connection:
        batch = await batches.load(connection, message)
    if batch is None:
        return []
    if IMPORTERS[batch.request.handler].reads is Reads.DOCUMENTS:
        return await route_documents(batch, store, engine, site_id)
    outcomes = await _read(store, batch)
    try:
        if (refused := refusal(batch.members, outcomes, batch.request)) is not None:
            raise refused
        async with transaction(engine) as connection:
            if await hold_import(connection, batch.import_id) and await batches.lock(connection, batch.batch_id):
                await _route(connection, batch, outcomes, site_id)
    except UserError:
        async with transaction(engine) as connection:
            await take_back(connection, batch.import_id)
        raise
    return [MembersRouted(import_id=batch.import_id, batch_id=batch.batch_id)]


async def _read(store: ObjectStore, batch: Batch) -> Mapping[int, Header | NotDicom]:
    importer = IMPORTERS[batch.request.handler]
    return complete(ecat_members.admit(await read_headers(store, batch.members), batch.members, importer), importer)


async def _route(
    connection: AsyncConnection, batch: Batch, outcomes: Mapping[int, Header | NotDicom], site_id: str
) -> None:
    headers = {ordinal: outcome for ordinal, outcome in outcomes.items() if isinstance(outcome, Header)}
    skipped = {ordinal: outcome for ordinal, outcome in outcomes.items() if isinstance(outcome, NotDicom)}
    studies = ecat_members.state_scans(group(headers), headers, batch.request.xml_paths)
    opened = await _open_entries(connection, batch, studies, site_id)
    await entries.join_import(connection, batch, studies, opened)
    await batches.write_members(connection, batch, headers, opened, await _name_files(connection, batch, headers))
    await batches.write_skipped(connection, batch, skipped)
    await batches.write_series(connection, batch, studies, opened)
    await batches.mark_routed(connection, batch)


async def _name_files(connection: AsyncConnection, batch: Batch, headers: Mapping[int, Header]) -> Mapping[int, str]:
    """The template's name of each file that goes to a shared entry, where it may be needed (§5)."""
    if IMPORTERS[batch.request.handler].entries is not Entries.SHARED:
        return {}
    template = (await load_preferences(connection)).file_name_template
    return {ordinal: template_name(template, header.texts) for ordinal, header in headers.items()}


async def _open_entries(
    connection: AsyncConnection, batch: Batch, studies: Sequence[Study], site_id: str
) -> dict[str, str]:
    if not studies:
        return {}
    identities = await _identify(connection, batch, studies)
    if IMPORTERS[batch.request.handler].entries is Entries.SHARED:
        return dict(await shared_entries.find_or_open(connection, batch, identities, site_id))
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

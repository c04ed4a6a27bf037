"""Reading headers and giving each member its session: *read, decide, do, tell*."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import hold_import, transaction
from libs.common.entries import take_back
from libs.common.errors import UserError
from libs.common.importers import IMPORTERS, Entries, Reads
from libs.common.messages import MembersFound, MembersRouted
from libs.common.storage import ObjectStore
from services.router import batches, ecat_members, entries, shared_entries
from services.router.batches import Batch
from services.router.filenames import keywords_of, template_name
from services.router.filters import left_out
from services.router.headers import Header, NotDicom, tags_behind_table, wanted_with
from services.router.heads import read_headers
from services.router.policies import Policies, load_policies
from services.router.refusals import complete, refusal
from services.router.rules import Identity, distinct_headers, identify, project_candidates
from services.router.studies import Study, group
from services.router.xar import route_documents


async def route_members(
    message: MembersFound, store: ObjectStore, engine: AsyncEngine, site_id: str
) -> list[MembersRouted]:
    """Give each member of a batch its session, or the reason why it has none.

    Safe to repeat: a batch is routed in one transaction, once; what it opens is found again by import and study.

    Raises:
        UserError: the project that was asked for is gone, `dest` names an entry of another study, a parameter for
            ECAT scans is no number, a member is not DICOM and the sender wants all of them or none, or a routing rule
            or filter takes too long.
    """
    async with transaction(engine) as connection:
        batch = await batches.load(connection, message)
        if batch is None:
            return []
        policies = await load_policies(connection, batch.request.destination.project)
    if IMPORTERS[batch.request.handler].reads is Reads.DOCUMENTS:
        return await route_documents(batch, store, engine, site_id)
    outcomes = await _read(store, batch, policies)
    try:
        if (refused := refusal(batch.members, outcomes, batch.request)) is not None:
            raise refused
        async with transaction(engine) as connection:
            if await hold_import(connection, batch.import_id) and await batches.lock(connection, batch.batch_id):
                await _route(connection, batch, outcomes, policies, site_id)
    except UserError:
        async with transaction(engine) as connection:
            await take_back(connection, batch.import_id)
        raise
    return [MembersRouted(import_id=batch.import_id, batch_id=batch.batch_id)]


async def _read(store: ObjectStore, batch: Batch, policies: Policies) -> Mapping[int, Header | NotDicom]:
    importer = IMPORTERS[batch.request.handler]
    named = keywords_of(policies.preferences.file_name_template) if importer.entries is Entries.SHARED else ()
    wanted = wanted_with(policies.tags | tags_behind_table(named))
    found = await read_headers(store, batch.members, wanted)
    return complete(ecat_members.admit(found, batch.members, importer), importer)


async def _route(
    connection: AsyncConnection,
    batch: Batch,
    outcomes: Mapping[int, Header | NotDicom],
    policies: Policies,
    site_id: str,
) -> None:
    headers = {ordinal: outcome for ordinal, outcome in outcomes.items() if isinstance(outcome, Header)}
    skipped = {ordinal: outcome for ordinal, outcome in outcomes.items() if isinstance(outcome, NotDicom)}
    studies: Sequence[Study] = group(headers)
    identities = await _identify(connection, batch, studies, policies)
    projects = {uid: identity.project for uid, identity in identities.items()}
    if filtered := left_out(headers, projects, policies.filters):
        headers = {ordinal: header for ordinal, header in headers.items() if ordinal not in filtered}
        skipped |= filtered
        studies = group(headers)
    studies = ecat_members.state_scans(studies, headers, batch.request.xml_paths)
    kept = {study.study_instance_uid: identities[study.study_instance_uid] for study in studies}
    opened = await _open_entries(connection, batch, kept, site_id)
    await entries.join_import(connection, batch, studies, opened)
    await batches.write_members(connection, batch, headers, opened, _name_files(batch, headers, policies))
    await batches.write_skipped(connection, batch, skipped)
    await batches.write_series(connection, batch, studies, opened)
    await batches.mark_routed(connection, [batch.batch_id])


def _name_files(batch: Batch, headers: Mapping[int, Header], policies: Policies) -> Mapping[int, str]:
    """The template's name of each file that goes to a shared entry, where it may be needed (§5)."""
    if IMPORTERS[batch.request.handler].entries is not Entries.SHARED:
        return {}
    template = policies.preferences.file_name_template
    return {ordinal: template_name(template, header.by_keyword) for ordinal, header in headers.items()}


async def _open_entries(
    connection: AsyncConnection, batch: Batch, identities: Mapping[str, Identity], site_id: str
) -> dict[str, str]:
    if not identities:
        return {}
    if IMPORTERS[batch.request.handler].entries is Entries.SHARED:
        return dict(await shared_entries.find_or_open(connection, batch, identities, site_id))
    return dict(await entries.open_entries(connection, batch, identities, site_id))


async def _identify(
    connection: AsyncConnection, batch: Batch, studies: Sequence[Study], policies: Policies
) -> dict[str, Identity]:
    destination, routing = batch.request.destination, policies.routing
    usable = {}
    if not studies:
        return {}
    if destination.project is None:
        headers = distinct_headers((texts for study in studies for texts in study.headers), routing)
        candidates = {name for texts in headers for name in project_candidates(texts, routing)}
        usable = dict(await entries.usable_projects(connection, batch.login, candidates))
    else:
        await entries.check_project(connection, destination.project)
    return {study.study_instance_uid: identify(study.headers, destination, usable, routing) for study in studies}

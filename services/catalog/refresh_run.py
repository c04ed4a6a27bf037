"""One refresh, or one part of a large one: compare, read what is in doubt, then decide with the session locked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import telemetry
from libs.common.command_rows import CommandRow, load_command, mark_done
from libs.common.commands import CommandResult, Refresh, Refreshed, RefreshOption
from libs.common.database import transaction
from libs.common.outbox import Change, Origin, Site, write_change
from libs.common.storage import ObjectStore
from services.catalog import refresh_rows as rows
from services.catalog.events import REFRESHED
from services.catalog.refresh import Bucket, Contents, Plan, Settled, compare, settle
from services.catalog.refresh_contents import read_all
from services.catalog.refresh_objects import Hand, list_by_hand, list_sizes
from services.catalog.refresh_rows import Finder, Folder, Session


@dataclass(frozen=True, slots=True)
class _Listing:
    """The bucket after a first look at the rows. `known` are the keys that these had."""

    asked: Refresh
    known: frozenset[str]
    sizes: Mapping[str, int]
    hand: Hand

    def bucket(self, folder: Folder) -> Bucket:
        """What concerns one folder."""
        return Bucket(self.known, self.sizes, self.hand.files.get(folder.path, ()))


async def run_refresh(row: CommandRow, asked: Refresh, store: ObjectStore, engine: AsyncEngine, site: Site) -> None:
    """Do what the command asks, and note that it is done.

    The bucket is listed after the rows were read, so a row that is newer than the listing is not missed in it; what is
    read meanwhile is decided again over the rows as they are then. Safe to repeat: what is found has a row afterwards.

    Raises:
        UserError: the session is not there any more.
        Retryable: the store or the database is away.
    """
    async with transaction(engine) as connection:
        session = await rows.load_session(connection, row.session_id)
        folders = await rows.load_folders(connection, session, asked)
        before = await rows.load_rows(connection, folders.values(), asked.names)
    listing = await _list(store, session, asked, frozenset(one.object_key for each in before.values() for one in each))
    async with transaction(engine) as connection:
        plans = await _compare(connection, session, listing)
    contents = await read_all(store, _reads(plans, listing))
    async with transaction(engine) as connection:
        if not (await load_command(connection, row.id, lock=True)).is_done:
            await _decide(connection, row, listing, contents, site)


async def _list(store: ObjectStore, session: Session, asked: Refresh, known: frozenset[str]) -> _Listing:
    hand = await list_by_hand(store, session.prefix, asked)
    sizes = {one.object_key: one.size_bytes for each in hand.files.values() for one in each}
    sizes |= await list_sizes(store, known - sizes.keys())
    return _Listing(asked, known, sizes, hand)


async def _compare(connection: AsyncConnection, session: Session, listing: _Listing) -> dict[Folder, Plan]:
    """What is to be done with each folder, by the rows as they are now."""
    asked = listing.asked
    folders = await rows.load_folders(connection, session, asked)
    now = await rows.load_rows(connection, folders.values(), asked.names)
    unknown = [one.object_key for each in listing.hand.files.values() for one in each]
    owned = await rows.load_owned(connection, [key for key in unknown if key not in listing.known])
    if RefreshOption.APPEND in asked.options:
        for path in listing.hand.files.keys() - folders.keys():
            if (folder := rows.new_folder(path, session)) is not None:
                folders[path] = folder
    return {
        folder: compare(now.get(folder.resource or 0, ()), listing.bucket(folder), owned, asked.options)
        for folder in folders.values()
    }


def _reads(plans: Mapping[Folder, Plan], listing: _Listing) -> dict[str, int]:
    keys = [one.object_key for plan in plans.values() for one in plan.add]
    keys += [row.object_key for plan in plans.values() for row in plan.check]
    return {key: listing.sizes[key] for key in keys}


async def _decide(
    connection: AsyncConnection, row: CommandRow, listing: _Listing, contents: Mapping[str, Contents], site: Site
) -> None:
    session = await rows.load_session(connection, row.session_id, lock=True)
    plans = await _compare(connection, session, listing)
    found = {folder: settle(plan, contents) for folder, plan in plans.items()}
    lines = [found[folder].line(folder.path, plan.problem) for folder, plan in plans.items()]
    lines += _strangers(session, listing)
    changed = await _write(connection, session, listing, found, Finder(row.id, row.login))
    if changed:
        change = _change(session, changed, lines)
        await write_change(connection, change, Origin(row.login, command_id=row.id), site)
    result = CommandResult(uri=session.uri, session_id=session.id, refreshed=tuple(lines))
    await mark_done(connection, row.id, result)
    counts = {name: sum(getattr(line, name) for line in lines) for name in ("added", "modified", "removed")}
    telemetry.log().info("refreshed", command_id=str(row.id), session_id=session.id, resources=len(lines), **counts)


def _strangers(session: Session, listing: _Listing) -> list[Refreshed]:
    """Folders of scans and assessors that the session has not: their files can belong to no resource."""
    paths = sorted(path for path in listing.hand.files if rows.new_folder(path, session) is None)
    kinds = {"SCANS": "scan", "ASSESSORS": "assessor"}
    return [Refreshed(folder=p, problem=f"the session has no such {kinds[p.partition('/')[0]]}") for p in paths]


async def _write(
    connection: AsyncConnection,
    session: Session,
    listing: _Listing,
    found: Mapping[Folder, Settled],
    finder: Finder,
) -> dict[int, Folder]:
    """The resources that have changed: by their files, their counts, or since their catalog is missing."""
    changing = {folder: settled for folder, settled in found.items() if settled.is_change}
    changed = {await rows.ensure_resource(connection, session, folder): folder for folder in changing}
    by_row = dict(zip(changed, changing.values(), strict=True))
    await rows.write_settled(connection, session, by_row, finder)
    there = {folder.resource: folder for folder in found if folder.resource is not None}
    recount = changed.keys() | (there.keys() if RefreshOption.POPULATE_STATS in listing.asked.options else set())
    for resource in await rows.count_files(connection, recount):
        changed.setdefault(resource, there.get(resource) or changed[resource])
    changed |= {row: folder for row, folder in there.items() if folder.catalog not in listing.hand.catalogs}
    if changed:
        await rows.raise_revision(connection, session, changed)
    return changed


def _change(session: Session, changed: Mapping[int, Folder], lines: Sequence[Refreshed]) -> Change:
    return Change(
        session.id,
        "updated",
        resources=sorted(changed),
        scans={folder.scan_id for folder in changed.values() if folder.scan_id is not None},
        files_added=sum(line.added for line in lines),
        files_replaced=sum(line.modified for line in lines),
        files_removed=sum(line.removed for line in lines),
        reason=REFRESHED,
    )

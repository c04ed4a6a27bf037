"""Listing what a refresh compares: by prefix, a thousand keys a request, never a look at each object."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from libs.common.commands import Refresh
from libs.common.storage import ObjectStore, Stored
from services.catalog.refresh import CATALOG_SUFFIX, ByHand, place_of

TREES = ("SCANS", "RESOURCES", "ASSESSORS")
FOLDERS_AT_MOST = 16
"""Of a session with more folders than these all is listed at once: imports of one file have a folder each."""


@dataclass(frozen=True, slots=True)
class Hand:
    """What lies in resources' folders: the files by folder, and the catalogs, by their paths below the prefix."""

    files: Mapping[str, Sequence[ByHand]]
    catalogs: Collection[str]


async def list_by_hand(store: ObjectStore, prefix: str, asked: Refresh) -> Hand:
    """The objects in those folders below `prefix` that a refresh looks at."""
    found, catalogs = defaultdict[str, list[ByHand]](list), set[str]()
    async for stored in _all(store, [f"{prefix}{folder}/" for folder in asked.folders or TREES]):
        path = stored.key.removeprefix(prefix)
        place = place_of(path)
        if path.endswith(CATALOG_SUFFIX):
            catalogs.add(path)
        elif place is not None and place[1] in asked.names:
            found[place[0]].append(ByHand(place[1], stored.key, stored.size_bytes))
    return Hand(found, catalogs)


async def list_sizes(store: ObjectStore, keys: Collection[str]) -> Mapping[str, int]:
    """The sizes of those objects that are there, of `keys`."""
    sizes = {}
    async for stored in _all(store, listing_prefixes(keys)):
        if stored.key in keys:
            sizes[stored.key] = stored.size_bytes
    return sizes


def listing_prefixes(keys: Iterable[str]) -> list[str]:
    """The prefixes to list in order to see all of `keys`: their folders, or those above them where these are many."""
    folders = {key[: key.rindex("/") + 1] for key in keys}
    by_session = defaultdict[str, set[str]](set)
    for folder in folders:
        by_session["/".join(folder.split("/")[:3]) + "/"].add(folder)
    listed = []
    for session, below in by_session.items():
        listed += sorted(below) if len(below) <= FOLDERS_AT_MOST else [session]
    return _outermost(listed)


def _outermost(prefixes: Iterable[str]) -> list[str]:
    """Those that none of the others begins."""
    found: list[str] = []
    for prefix in sorted(prefixes):
        if not found or not prefix.startswith(found[-1]):
            found.append(prefix)
    return found


async def _all(store: ObjectStore, prefixes: Iterable[str]) -> AsyncIterator[Stored]:
    for prefix in prefixes:
        async for page in store.list(prefix):
            for stored in page:
                yield stored

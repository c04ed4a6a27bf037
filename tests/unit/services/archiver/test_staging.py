"""Staging over the store in memory: each member once, with its digests."""

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Sequence

import pytest

from libs.common.errors import Retryable
from libs.common.facts import Encoding, Member
from libs.common.storage import Store, memory_store
from services.archiver import staging
from services.archiver.batches import KnownObject, Routed, Staged
from services.archiver.staging import Stager

SOURCE = "uploads/1/source"


def routed(members: Sequence[Member]) -> list[Routed]:
    return [Routed(one, "E1", f"u{one.ordinal}", f"sessions/P/E1/0/s/{one.ordinal}_{one.path}") for one in members]


def zipped(bodies: Sequence[bytes], compression: int = zipfile.ZIP_DEFLATED) -> tuple[bytes, list[Member]]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for number, body in enumerate(bodies):
            archive.writestr(f"{number}.dcm", body)
    encoding = Encoding.ZIP_DEFLATED if compression else Encoding.ZIP_STORED
    infos = archive.infolist()
    ends = [*(info.header_offset for info in infos[1:]), archive.start_dir]
    members = [
        Member(n, i.filename, SOURCE, i.header_offset, end - i.header_offset, i.file_size, encoding, i.CRC)
        for n, (i, end) in enumerate(zip(infos, ends, strict=True))
    ]
    return file.getvalue(), members


async def bodies(store: Store, staged: Sequence[Staged]) -> list[bytes]:
    keys = [one.key for one in sorted(staged, key=lambda one: one.ordinal)]
    return [await store.read(key, 0, 1 << 30) for key in keys if key is not None]


async def keys(store: Store) -> set[str]:
    return {one.key async for page in store.list("sessions/") for one in page}


CONTENTS = [b"one" * 1000, b"two" * 500, b"3", b"four"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("large", [staging.LARGE_BYTES, 0])
async def test_every_member_is_stored_with_its_digests(
    compression: int, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "LARGE_BYTES", large)
    store = memory_store()
    source, members = zipped(CONTENTS, compression)
    await store.put(SOURCE, source)
    staged = await Stager(store).stage(routed(members), {})
    assert await bodies(store, staged) == CONTENTS
    by_ordinal = sorted(staged, key=lambda one: one.ordinal)
    assert [one.md5 for one in by_ordinal] == [hashlib.md5(body).hexdigest() for body in CONTENTS]
    assert [one.sha256 for one in by_ordinal] == [hashlib.sha256(body).hexdigest() for body in CONTENTS]


@pytest.mark.parametrize("large", [staging.LARGE_BYTES, 0])
async def test_a_damaged_member_has_its_reason_and_the_others_are_stored(
    large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "LARGE_BYTES", large)
    store = memory_store()
    source, members = zipped([b"good", b"wrong", b"better"], zipfile.ZIP_STORED)
    await store.put(SOURCE, source.replace(b"wrong", b"wrung"))
    staged = sorted(await Stager(store).stage(routed(members), {}), key=lambda one: one.ordinal)
    assert [one.damage for one in staged] == ["", "damaged: its CRC-32 is not the one that the archive states", ""]
    assert staged[1].key is None
    assert await keys(store) == {staged[0].key, staged[2].key}


async def test_members_that_unpack_to_much_are_unpacked_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "PORTION_BYTES", 1000)
    store = memory_store()
    contents = [bytes([number]) * 600 for number in range(5)]
    source, members = zipped(contents)
    await store.put(SOURCE, source)
    assert await bodies(store, await Stager(store).stage(routed(members), {})) == contents


class Counted(Store):
    """The store in memory, with the keys that were put."""

    def __init__(self) -> None:
        super().__init__(memory_store()._store)
        self.put_keys: list[str] = []

    async def put(self, key: str, body: bytes) -> None:
        self.put_keys.append(key)
        await super().put(key, body)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> int:  # type: ignore[override]
        self.put_keys.append(key)
        return await super().put_stream(key, chunks)


@pytest.mark.parametrize("large", [staging.LARGE_BYTES, 0])
@pytest.mark.parametrize(
    ("there", "is_put"),
    [(b"body", False), (None, True), (b"body and more", True)],
    ids=["there", "gone", "another size"],
)
async def test_bytes_that_the_session_has_are_not_put_again_if_the_store_has_them(
    there: bytes | None, is_put: bool, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "LARGE_BYTES", large)
    store = Counted()
    source, members = zipped([b"body"])
    await Store.put(store, SOURCE, source)
    old = "sessions/P/E0/0/s/000000_old.dcm"
    if there is not None:
        await Store.put(store, old, there)
    known = {("u0", hashlib.sha256(b"body").hexdigest()): KnownObject(old, 4)}
    (staged,) = await Stager(store).stage(routed(members), known)
    assert store.put_keys == ([staged.key] if is_put else [])
    assert (staged.key == old) is not is_put
    assert await store.read(str(staged.key), 0, 100) == b"body"


async def test_other_bytes_of_a_known_instance_are_put() -> None:
    store = Counted()
    source, members = zipped([b"body"])
    await store.put(SOURCE, source)
    await store.put("sessions/P/E0/a", b"bode")
    known = {("u0", hashlib.sha256(b"bode").hexdigest()): KnownObject("sessions/P/E0/a", 4)}
    (staged,) = await Stager(store).stage(routed(members), known)
    assert staged.key == "sessions/P/E1/0/s/0_0.dcm"


async def test_staging_twice_puts_the_same_objects() -> None:
    store = memory_store()
    source, members = zipped(CONTENTS)
    await store.put(SOURCE, source)
    first = await Stager(store).stage(routed(members), {})
    second = await Stager(store).stage(routed(members), {})
    assert sorted(first, key=str) == sorted(second, key=str)


class Full(Store):
    """A store that takes no more."""

    def __init__(self) -> None:
        super().__init__(memory_store()._store)

    async def put(self, key: str, body: bytes) -> None:
        raise Retryable("store-full", "full")


async def test_a_failing_store_is_tried_later() -> None:
    store = Full()
    source, members = zipped(CONTENTS)
    await Store.put(store, SOURCE, source)
    with pytest.raises(Retryable, match="store-full"):
        await Stager(store).stage(routed(members), {})


async def test_a_missing_upload_is_tried_later() -> None:
    _, members = zipped(CONTENTS)
    with pytest.raises(Retryable, match="source-missing"):
        await Stager(memory_store()).stage(routed(members), {})


async def test_members_outside_of_zips_are_the_bytes_of_their_span() -> None:
    store = memory_store()
    await store.put(SOURCE, b"....abcdef....")
    members = [Member(0, "a", SOURCE, 4, 3, 3, Encoding.PLAIN), Member(1, "b", SOURCE, 7, 3, 3, Encoding.PLAIN)]
    members.append(Member(2, "c", SOURCE, 12, 5, 5, Encoding.PLAIN))
    staged = await Stager(store).stage(routed(members), {})
    assert await bodies(store, staged) == [b"abc", b"def"]
    assert {one.ordinal: one.damage for one in staged if one.damage} == {2: "damaged: it holds 2 of 5 bytes"}

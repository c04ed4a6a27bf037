"""One suite for every store: what the fake of the unit tests does, S3 does."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest
import pytest_asyncio
from pydantic import SecretStr

from libs.common.bucket import abort_unfinished, ensure_bucket
from libs.common.storage import (
    PART_BYTES,
    Changed,
    Missing,
    ObjectStore,
    S3Settings,
    memory_store,
    s3_store,
)
from tests.servers import Servers

counter = itertools.count()


@pytest_asyncio.fixture(params=["memory", "s3"])
async def store(request: pytest.FixtureRequest, servers: Servers) -> ObjectStore:
    if request.param == "memory":
        return memory_store()
    settings = settings_of(servers)
    await ensure_bucket(settings)
    await ensure_bucket(settings)
    return s3_store(settings)


def settings_of(servers: Servers) -> S3Settings:
    """A bucket of its own."""
    return S3Settings(
        endpoint=servers.s3_endpoint_url,
        bucket=f"storage-{next(counter)}",
        access_key_id=servers.s3_access_key,
        secret_access_key=SecretStr(servers.s3_secret_key),
    )


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def keys(store: ObjectStore, prefix: str) -> dict[str, int]:
    return {stored.key: stored.size_bytes async for page in store.list(prefix) for stored in page}


async def test_a_multipart_upload_that_nobody_goes_on_with_is_aborted(servers: Servers) -> None:
    settings = settings_of(servers)
    await ensure_bucket(settings)
    client = boto3.client(
        "s3",
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key.get_secret_value(),
        region_name=settings.region,
    )
    begun = client.create_multipart_upload(Bucket=settings.bucket, Key="a")
    part = {"Bucket": settings.bucket, "Key": "a", "UploadId": begun["UploadId"], "PartNumber": 1}
    client.upload_part(**part, Body=b"1")
    assert await abort_unfinished(settings, timedelta(hours=1)) == 0
    assert await abort_unfinished(settings, timedelta(seconds=-5)) == 1
    with pytest.raises(client.exceptions.ClientError):
        client.upload_part(**part | {"PartNumber": 2}, Body=b"2")


async def test_a_listing_says_when_an_object_was_stored(store: ObjectStore) -> None:
    await store.put("d/a", b"1")
    (stored,) = [one async for page in store.list("d/") for one in page]
    assert stored.modified_at is not None
    assert abs(datetime.now(UTC) - stored.modified_at) < timedelta(minutes=1)


async def test_what_is_put_is_read(store: ObjectStore) -> None:
    await store.put("a/b", b"0123456789")
    await store.put("a/b", b"0123456789")
    assert await store.read("a/b", 2, 3) == b"234"
    assert await store.read("a/b", 8, 50) == b"89"
    assert b"".join([piece async for piece in store.stream("a/b", 1, 5)]) == b"12345"
    head = await store.head("a/b")
    assert (head.size_bytes, bool(head.etag)) == (10, True)


async def test_names_with_spaces_and_letters_of_any_script_are_kept(store: ObjectStore) -> None:
    key = "a/Jérôme ü 山田 +%&=#?.dcm"
    await store.put(key, b"x")
    assert await store.read(key, 0, 1) == b"x"
    assert await keys(store, "a/") == {key: 1}


async def test_a_stream_of_several_parts_is_one_object(store: ObjectStore) -> None:
    parts = [bytes([i]) * (PART_BYTES // 2 + i) for i in range(5)]
    assert await store.put_stream("s", chunks(*parts)) == sum(map(len, parts))
    assert (await store.head("s")).size_bytes == sum(map(len, parts))
    assert await store.read("s", PART_BYTES, 10) == b"".join(parts)[PART_BYTES : PART_BYTES + 10]


async def test_an_empty_stream_is_an_empty_object(store: ObjectStore) -> None:
    assert await store.put_stream("e", chunks()) == 0
    assert (await store.head("e")).size_bytes == 0


@pytest.mark.parametrize("size", [10, 3 * PART_BYTES])
async def test_a_stream_that_fails_leaves_nothing_and_raises_its_own_error(store: ObjectStore, size: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise LookupError("the client has gone")

    with pytest.raises(LookupError):
        await store.put_stream("f", broken())
    with pytest.raises(Missing):
        await store.head("f")


async def test_a_missing_object_is_missing(store: ObjectStore) -> None:
    with pytest.raises(Missing):
        await store.read("none", 0, 1)
    with pytest.raises(Missing):
        await store.head("none")
    with pytest.raises(Missing):
        [piece async for piece in store.stream("none", 0, 1)]


async def test_replace_has_one_winner(store: ObjectStore) -> None:
    first = await store.replace("c", b"1", None)
    with pytest.raises(Changed):
        await store.replace("c", b"2", None)
    second = await store.replace("c", b"2", first)
    with pytest.raises(Changed):
        await store.replace("c", b"3", first)
    assert second != first
    assert await store.read("c", 0, 1) == b"2"


async def test_a_prefix_lists_more_than_a_page(store: ObjectStore) -> None:
    for number in range(1010):
        await store.put(f"l/{number:05d}", b"x")
    await store.put("lx", b"x")
    assert len(await keys(store, "l/")) == 1010


async def test_deleting_twice_is_no_error(store: ObjectStore) -> None:
    await store.put("d", b"x")
    await store.delete(["d", "never"])
    await store.delete(["d"])
    with pytest.raises(Missing):
        await store.head("d")

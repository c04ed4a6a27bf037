import zlib

import pytest

from libs.common.errors import Retryable
from libs.common.facts import Encoding, Member
from libs.common.storage import Store, memory_store
from services.router.headers import Header, NotDicom
from services.router.heads import LONGEST_BYTES, read_headers
from tests import builders

LOCAL = b"PK\x03\x04" + bytes(26)


class Counting(Store):
    """A store that says how much was read of it."""

    def __init__(self, store: Store) -> None:
        self._inner = store
        self.reads: list[int] = []

    async def put(self, key: str, body: bytes) -> None:
        await self._inner.put(key, body)

    async def read(self, key: str, start: int, length: int) -> bytes:
        self.reads.append(length)
        return await self._inner.read(key, start, length)


@pytest.fixture
def store() -> Counting:
    return Counting(memory_store())


async def laid_out(store, bodies, encoding=Encoding.PLAIN):
    """Members one behind another in one object."""
    upload, members = b"", []
    for ordinal, body in enumerate(bodies):
        span = body
        if encoding is Encoding.ZIP_DEFLATED:
            deflate = zlib.compressobj(wbits=-15)
            span = LOCAL + deflate.compress(body) + deflate.flush()
        elif encoding is Encoding.ZIP_STORED:
            span = LOCAL + body
        members.append(Member(ordinal, f"{ordinal}", "u/source", len(upload), len(span), len(body), encoding))
        upload += span
    await store.put("u/source", upload)
    return members


def image(number, pixels=4, private=0):
    ds = builders.dataset(SOPInstanceUID=builders.uid(number), PixelData=bytes(pixels))
    if private:
        noise = bytes(n * n * 7 % 251 for n in range(private))
        ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", noise)
    return builders.dicom_bytes(ds)


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_headers_are_read_in_every_encoding(store, encoding):
    members = await laid_out(store, [image(1), b"text", image(2, private=100_000), b""], encoding)
    found = await read_headers(store, members)
    assert isinstance(found[0], Header)
    assert found[0].instance.sop_instance_uid == builders.uid(1)
    assert found[1] == NotDicom("not DICOM: text")
    assert isinstance(found[2], Header)
    assert found[3] == NotDicom("empty file")


async def test_members_close_together_are_one_request(store):
    members = await laid_out(store, [image(n, pixels=30_000) for n in range(50)])
    await read_headers(store, members)
    assert len(store.reads) == 1


async def test_large_members_are_read_as_far_as_the_pixels(store):
    members = await laid_out(store, [image(n, pixels=1 << 20) for n in range(5)])
    await read_headers(store, members)
    assert sum(store.reads) < 5 * 20_000


async def test_only_a_header_that_goes_on_is_read_again(store):
    bodies = [image(1, pixels=1 << 20), image(2, private=200_000, pixels=1 << 20), image(3, pixels=1 << 20)]
    found = await read_headers(store, await laid_out(store, bodies))
    assert all(isinstance(outcome, Header) for outcome in found.values())
    assert len(store.reads) == 5
    assert sum(store.reads) < 1_300_000


async def test_a_header_without_end_is_given_up(store):
    ds = builders.dataset()
    ds.private_block(0x0009, "HUGE", create=True).add_new(0x10, "OB", bytes(LONGEST_BYTES))
    (member,) = await laid_out(store, [builders.dicom_bytes(ds)])
    assert (await read_headers(store, [member]))[0] == NotDicom("unreadable DICOM header")
    assert max(store.reads) < LONGEST_BYTES + 2000


async def test_damage_is_a_reason_not_a_failure(store):
    (member,) = await laid_out(store, [image(1)], Encoding.ZIP_DEFLATED)
    await store.put("u/source", LOCAL + b"\xff" * 500)
    assert (await read_headers(store, [member]))[0] == NotDicom("damaged: its deflate stream is broken")
    await store.put("u/source", b"no local header" * 40)
    outcome = (await read_headers(store, [member]))[0]
    assert isinstance(outcome, NotDicom)
    assert outcome.reason.startswith("damaged")


async def test_a_stream_cut_short_still_has_its_header(store):
    body = image(1, pixels=500)
    (member,) = await laid_out(store, [body])
    await store.put("u/source", body[:-200])
    assert isinstance((await read_headers(store, [member]))[0], Header)


async def test_an_object_that_is_not_there_may_come(store):
    (member,) = await laid_out(store, [image(1)])
    await store._inner.delete(["u/source"])
    with pytest.raises(Retryable):
        await read_headers(store, [member])


async def test_no_members_need_no_reading(store):
    assert await read_headers(store, []) == {}
    assert store.reads == []

"""Whole uploads over the in-memory store."""

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import UserError
from libs.common.facts import Encoding
from libs.common.spans import decode
from libs.common.storage import ObjectStore, Store, memory_store
from services.extractor import containers, streams
from services.extractor.limits import Limits
from services.extractor.listing import Source, Upload, list_upload
from services.extractor.members import Found
from tests.builders import dicom_bytes
from tests.builders_archives import DICOM, patched_zip, tar_bytes, tar_entry, tar_with, zip_bytes

IMPORT = UUID(int=7)
MEMBERS = f"uploads/{IMPORT}/members"
LIMITS = Limits()
OTHER = DICOM[:5000]


@dataclass
class Lister:
    """One upload in a store that counts what is read and written."""

    body: bytes
    name: str = "study.zip"
    limits: Limits = LIMITS
    more: list[tuple[str, bytes]] = field(default_factory=list)
    inner: Store = field(default_factory=memory_store)
    reads: list[int] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    async def read(self, key: str, start: int, length: int) -> bytes:
        self.reads.append(length)
        return await self.inner.read(key, start, length)

    def stream(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        self.reads.append(length)
        return self.inner.stream(key, start, length)

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        size = await self.inner.put_stream(key, chunks)
        self.written.append(key)
        return size

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def listed(self) -> list[Found]:
        await self.inner.put("source", self.body)
        store: ObjectStore = self  # type: ignore[assignment]
        sources = [Source("source", self.name, len(self.body))]
        for number, (name, body) in enumerate(self.more):
            await self.inner.put(f"source.{number + 1}", body)
            sources.append(Source(f"source.{number + 1}", name, len(body)))
        return await list_upload(store, Upload(IMPORT, tuple(sources)), self.limits)

    async def contents(self) -> dict[str, bytes]:
        """What a reader of spans gets of those that are not skipped."""
        contents = {}
        for m in await self.listed():
            if not m.skipped:
                contents[m.path] = bytes(
                    decode(m, memoryview(await self.inner.read(m.object_key, m.offset, m.span_bytes)))
                )
        return contents

    async def skipped(self) -> dict[str, str]:
        return {m.path: m.skipped for m in await self.listed() if m.skipped}


async def refusal(body: bytes, limits: Limits = LIMITS) -> UserError:
    lister = Lister(body, limits=limits)
    with pytest.raises(UserError) as refused:
        await lister.listed()
    assert not lister.written, "a refused upload leaves nothing behind"
    return refused.value


FILES = {"a/1.dcm": DICOM, "a/2.dcm": OTHER}


@pytest.mark.parametrize(
    "body",
    [
        zip_bytes(FILES),
        b"#!/bin/sh unpack yourself\n" * 300 + zip_bytes(FILES),
        tar_bytes(FILES),
        tar_bytes(FILES, mode="gz"),
        tar_bytes(FILES, mode="bz2"),
        gzip.compress(gzip.compress(tar_bytes(FILES))),
        gzip.compress(zip_bytes(FILES)),
    ],
    ids=["zip", "self-extracting", "tar", "tar.gz", "tar.bz2", "tar.gz.gz", "zip.gz"],
)
async def test_an_archive_of_any_kind_gives_its_members(body: bytes) -> None:
    assert await Lister(body, "named.wrongly").contents() == FILES


@pytest.mark.parametrize(
    ("body", "name", "path", "content"),
    [
        (DICOM, "a.dcm", "a.dcm", DICOM),
        (DICOM, "", "upload", DICOM),
        (dicom_bytes()[132:], "x/a", "a", dicom_bytes()[132:]),
        (gzip.compress(DICOM), "a.dcm.gz", "a.dcm", DICOM),
        (bz2.compress(DICOM), "a.bz2", "a", DICOM),
        (b"MATRIX72v" + bytes(512), "scan.v", "scan.v", b"MATRIX72v" + bytes(512)),
    ],
)
async def test_one_image_is_one_member(body: bytes, name: str, path: str, content: bytes) -> None:
    lister = Lister(body, name)
    (found,) = await lister.listed()
    assert (found.path, found.encoding) == (path, Encoding.PLAIN)
    assert (found.size_bytes, (await lister.contents())[path]) == (len(content), content)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty-upload"),
        (b"just text", "not-an-archive"),
        (b"\x89PNG" + bytes(900), "not-an-archive"),
        (gzip.compress(b"just text"), "not-an-archive"),
        (gzip.compress(b""), "not-an-archive"),
        (zip_bytes(FILES)[:-40], "truncated-archive"),
        (zip_bytes(FILES)[:60], "truncated-archive"),
        (tar_bytes(FILES)[:4000], "truncated-archive"),
        (tar_bytes(FILES, mode="gz")[:-20], "truncated-archive"),
        (tar_bytes(FILES, mode="bz2")[:-20], "truncated-archive"),
        (gzip.compress(tar_bytes(FILES)[:4000]), "truncated-archive"),
        (gzip.compress(DICOM)[:-3], "truncated-archive"),
        (tar_with(tar_entry("l", tarfile.SYMTYPE, "/etc/passwd")), "unsafe-member"),
        (gzip.compress(tar_with(tar_entry("../x"))), "unsafe-member"),
        (zip_bytes({"a.zip": zip_bytes({"../x": b"1"})}, zipfile.ZIP_STORED), "unsafe-member"),
        (zip_bytes({"a.tar.gz": tar_bytes({"/x": b"1"}, mode="gz")}), "unsafe-member"),
        (patched_zip(zip_bytes({"a": DICOM}), flags=1), "encrypted-archive"),
    ],
)
async def test_an_upload_that_cannot_be_listed_is_refused_and_leaves_nothing_behind(body: bytes, code: str) -> None:
    assert (await refusal(body)).code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (gzip.compress(zip_bytes(FILES)[:-40]), "truncated-archive"),
        (zip_bytes({"a.zip": zip_bytes({"../x": b"1"})}), "unsafe-member"),
    ],
)
async def test_what_is_found_only_after_unpacking_refuses_the_upload_too(body: bytes, code: str) -> None:
    with pytest.raises(UserError) as refused:
        await Lister(body).listed()
    assert refused.value.code == code


@pytest.mark.parametrize(
    "body",
    [zip_bytes(FILES)[:-40], tar_bytes(FILES)[:3000], tar_bytes(FILES, mode="gz")[:-9], gzip.compress(DICOM)[:-5]],
    ids=["zip", "tar", "tar.gz", "gz"],
)
async def test_a_broken_upload_is_to_be_sent_again(body: bytes) -> None:
    detail = (await refusal(body)).detail
    assert detail.startswith("the upload cannot be read: ")
    assert "Send it again" in detail


async def test_what_other_bytes_look_like_is_told_with_what_is_accepted() -> None:
    detail = (await refusal(b"%PDF-1.4 ...")).detail
    assert "a PDF document" in detail
    assert "tar.gz" in detail


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_archives_inside_archives_are_folders(method: int) -> None:
    inner = {
        "x/one.zip": zip_bytes({"in.dcm": DICOM, "deep.ZIP": zip_bytes({"far.dcm": OTHER})}, method),
        "two.tar": tar_bytes({"in.dcm": DICOM}),
        "three.tar.gz": tar_bytes({"in.dcm": DICOM, "f.dcm.gz": gzip.compress(OTHER)}, mode="gz"),
        "four.tbz2": tar_bytes({"in.dcm": DICOM}, mode="bz2"),
        "five.dcm.gz": gzip.compress(DICOM),
        "six.dcm": OTHER,
    }
    assert await Lister(zip_bytes(inner, method)).contents() == await Lister(tar_bytes(inner)).contents() == {
        "x/one.zip/in.dcm": DICOM,
        "x/one.zip/deep.ZIP/far.dcm": OTHER,
        "two.tar/in.dcm": DICOM,
        "three.tar.gz/in.dcm": DICOM,
        "three.tar.gz/f.dcm.gz/f.dcm": OTHER,
        "four.tbz2/in.dcm": DICOM,
        "five.dcm.gz/five.dcm": DICOM,
        "six.dcm": OTHER,
    }  # fmt: skip


async def test_a_stored_archive_inside_a_zip_is_listed_where_it_lies() -> None:
    lister = Lister(zip_bytes({"a.zip": zip_bytes(FILES), "b.tar": tar_bytes(FILES)}, zipfile.ZIP_STORED))
    assert {m.object_key for m in await lister.listed()} == {"source"}
    assert not lister.written


async def test_all_of_one_level_is_unpacked_into_one_object() -> None:
    gz = gzip.compress(DICOM)
    lister = Lister(zip_bytes({f"{n}.gz": gz for n in range(5)} | {"x.tgz": gzip.compress(tar_bytes({"y.gz": gz}))}))
    found = await lister.listed()
    assert lister.written == [MEMBERS, f"{MEMBERS}.2"]
    assert [m.path for m in found] == [*(f"{n}.gz/{n}" for n in range(5)), "x.tgz/y.gz/y"]
    assert [m.offset for m in found[:5]] == [n * len(DICOM) for n in range(5)]


async def test_a_member_that_only_has_the_name_of_an_archive_stays_where_it_is() -> None:
    lister = Lister(zip_bytes({"a.gz": DICOM, "b.zip": b"no zip", "c.gz": b""}))
    assert await lister.contents() == {"a.gz": DICOM, "b.zip": b"no zip"}
    assert not lister.written


async def test_a_member_without_the_name_of_an_archive_is_not_opened() -> None:
    body = zip_bytes({"a.dcm": zip_bytes(FILES), "b.gz": gzip.compress(zip_bytes(FILES))})
    assert set(await Lister(body).contents()) == {"a.dcm", "b.gz/b"}


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("a.gz", gzip.compress(DICOM)[:-5]),
        ("a.tgz", tar_bytes({"x.dcm": DICOM}, mode="gz")[:-5]),
        ("a.tgz", gzip.compress(tar_bytes({"x.dcm": DICOM})[:2000])),
        ("a.tar", tar_bytes({"x.dcm": DICOM})[:2000]),
        ("a.zip", zip_bytes(FILES)[:-30]),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_a_broken_archive_inside_is_skipped_with_its_reason(method: int, name: str, inner: bytes) -> None:
    lister = Lister(
        zip_bytes({"1.dcm.gz": gzip.compress(DICOM), name: inner, "2.dcm.gz": gzip.compress(OTHER)}, method)
    )
    assert await lister.contents() == {"1.dcm.gz/1.dcm": DICOM, "2.dcm.gz/2.dcm": OTHER}
    (reason,) = (await lister.skipped()).values()
    assert reason.startswith("an archive that cannot be read: ")


async def test_junk_is_skipped_also_in_archives_inside() -> None:
    inner = {"__MACOSX/._a.dcm": b"x", "a.dcm": DICOM}
    skipped = await Lister(
        zip_bytes({"in.tgz": tar_bytes(inner, mode="gz"), ".DS_Store": b"x", "._in.zip": b"PK"})
    ).skipped()
    assert set(skipped) == {"in.tgz/__MACOSX/._a.dcm", ".DS_Store", "._in.zip"}


async def test_one_encrypted_member_is_skipped() -> None:
    assert await Lister(patched_zip(zip_bytes(FILES), flags=1)).skipped() == {"a/1.dcm": "encrypted"}


# --- limits


def nested(depth: int) -> bytes:
    body = zip_bytes({"a.dcm": DICOM})
    for _ in range(depth):
        body = zip_bytes({"a.zip": body})
    return body


async def test_archives_are_opened_as_deep_as_the_limit() -> None:
    assert set(await Lister(nested(4)).contents()) == {"a.zip/" * 4 + "a.dcm"}
    with pytest.raises(UserError) as refused:
        await Lister(nested(5)).listed()
    assert refused.value.code == "limit-depth"


SMALL = Limits(size_bytes=1_000_000, ratio=100, ratio_floor_bytes=200_000, members=10)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (zip_bytes({"a": bytes(1_100_000)}), "limit-size"),
        (zip_bytes({"a": bytes(300_000)}), "limit-ratio"),
        (zip_bytes({str(n): b"" for n in range(11)}), "limit-count"),
        (tar_bytes({str(n): b"" for n in range(11)}), "limit-count"),
        (tar_bytes({"a": bytes(1_100_000)}), "limit-size"),
        (gzip.compress(tar_bytes({"a": bytes(900_000)})), "limit-ratio"),
        (gzip.compress(DICOM * 200), "limit-size"),
        (bz2.compress(bytes(900_000)), "limit-ratio"),
        (zip_bytes({"a.zip": zip_bytes({"b": bytes(900_000)})}, zipfile.ZIP_STORED), "limit-ratio"),
    ],
)
async def test_a_bomb_is_refused_and_leaves_nothing_behind(body: bytes, code: str) -> None:
    assert (await refusal(body, SMALL)).code == code


async def test_a_mask_of_zeros_is_no_bomb() -> None:
    assert len(await Lister(zip_bytes({"mask.dcm": DICOM[:132] + bytes(8 << 20)})).contents()) == 1


# --- few requests


async def test_a_directory_of_20000_members_is_a_handful_of_requests() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(20_000):
            archive.writestr(zipfile.ZipInfo(f"study/series/1.2.840.113619.2.{number:06d}.dcm"), b"x")
    lister = Lister(file.getvalue())
    assert len(await lister.listed()) == 20_000
    assert len(lister.reads) == 3


async def test_large_members_of_a_tar_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "FIRST_WINDOW_BYTES", 2048)
    monkeypatch.setattr(containers, "SKIP_BYTES", 4096)
    lister = Lister(tar_bytes({f"{n}.dcm": DICOM * 4 for n in range(8)}))
    assert len(await lister.listed()) == 8
    assert sum(lister.reads) < len(lister.body) / 4
    assert len(lister.reads) <= 12


async def test_small_members_of_a_tar_are_read_through() -> None:
    lister = Lister(tar_bytes({f"{n}.dcm": b"x" for n in range(2000)}))
    assert len(await lister.listed()) == 2000
    assert len(lister.reads) <= 10


async def test_a_large_stream_is_unpacked_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SLICE_BYTES", 1000)
    files = {f"{n}.dcm": DICOM + bytes([n]) for n in range(40)}
    assert await Lister(tar_bytes(files, mode="gz")).contents() == files


async def test_a_second_listing_changes_nothing() -> None:
    body = zip_bytes({f"{n}.dcm.gz": gzip.compress(DICOM + bytes([n])) for n in range(5)} | FILES)
    assert await Lister(body).listed() == await Lister(body).listed()


# --- any bytes

_BODIES = [zip_bytes(FILES), tar_bytes(FILES), tar_bytes(FILES, mode="gz"), zip_bytes({"a.gz": gzip.compress(DICOM)})]


@settings(deadline=None, max_examples=60)
@given(st.data())
async def test_damaged_uploads_are_listed_or_refused(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(_BODIES)))
    for _ in range(data.draw(st.integers(0, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(0, len(body)))
    try:
        found = await Lister(bytes(body[:kept])).listed()
    except UserError:
        return
    assert all(m.path and m.span_bytes >= 0 for m in found)


async def test_several_files_are_one_upload_with_a_folder_each_in_their_order() -> None:
    lister = Lister(
        zip_bytes({"b.dcm": DICOM, "a.dcm": OTHER}),
        more=[
            ("study.zip", tar_bytes({"c.dcm": DICOM}, mode="gz")),
            ("7.dcm", DICOM),
            ("8.dcm.gz", gzip.compress(OTHER)),
            ("readme.txt", b"just text"),
            ("nothing", b""),
            ("e.zip", zip_bytes({"in.tgz": tar_bytes({"d.dcm": OTHER}, mode="gz")})),
        ],
    )
    assert await lister.contents() == {
        "study.zip/b.dcm": DICOM,
        "study.zip/a.dcm": OTHER,
        "study.zip_1/c.dcm": DICOM,
        "7.dcm": DICOM,
        "8.dcm.gz/8.dcm": OTHER,
        "readme.txt": b"just text",
        "e.zip/in.tgz/d.dcm": OTHER,
    }
    found = await lister.listed()
    assert [m.path for m in found] == [
        "study.zip/b.dcm", "study.zip/a.dcm", "study.zip_1/c.dcm", "7.dcm", "8.dcm.gz/8.dcm", "readme.txt", "nothing",
        "e.zip/in.tgz/d.dcm",
    ]  # fmt: skip
    assert len({(m.object_key, m.offset) for m in found}) == len(found)
    assert set(lister.written) == {MEMBERS, f"{MEMBERS}.2", f"{MEMBERS}.3"}
    assert await lister.skipped() == {"nothing": "empty"}


async def test_several_files_share_one_limit() -> None:
    one = zip_bytes({f"{n}.dcm": DICOM for n in range(3)})
    with pytest.raises(UserError) as raised:
        await Lister(one, limits=Limits(members=5), more=[("b.zip", one)]).listed()
    assert raised.value.code == "limit-count"


async def test_a_damaged_file_among_several_refuses_all_and_is_told_by_its_number() -> None:
    whole = zip_bytes({"a.dcm": DICOM})
    with pytest.raises(UserError, match="file 2 of the upload cannot be read"):
        await Lister(whole, more=[("b.zip", whole[:-30]), ("c.zip", whole)]).listed()
    with pytest.raises(UserError, match="file 2 of the upload cannot be read"):
        await Lister(whole, more=[("b.tgz", tar_bytes({"a.dcm": DICOM}, mode="gz")[:-9])]).listed()

"""Bodies become objects: raw, in a form, of any length, or not at all (import semantics §1.3)."""

import hashlib
from collections.abc import AsyncIterator, Iterable

import pytest
from starlette.datastructures import Headers

from libs.common.errors import Retryable, UserError
from libs.common.storage import SINGLE_PUT_BYTES, Missing, Store, memory_store
from services.gateway.uploads import (
    UPLOAD_MEMORY,
    Body,
    BodyKind,
    Budget,
    Target,
    Upload,
    content_length,
    discard,
    kind_of,
    name_of,
    receive,
)

KEY = "uploads/x/source"
FORM = "multipart/form-data; boundary=XX"


def key_of(number: int) -> str:
    return f"{KEY}.{number}" if number else KEY


def only(body: Body) -> Upload:
    (upload,) = body.uploads
    return upload


async def in_pieces(body: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def part(name: str, body: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return f"--XX\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + body + b"\r\n"


def form(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


async def received(
    store: Store, body: bytes, content_type: str, kind: BodyKind, *, limit: int = 0, size: int = 65_536
) -> Body:
    return await receive(store, Target(key_of, "upload", limit), in_pieces(body, size), content_type, kind)


async def stored(store: Store) -> bytes:
    return await store.read(KEY, 0, 1 << 30)


@pytest.mark.parametrize("size", [1, 1000, SINGLE_PUT_BYTES, SINGLE_PUT_BYTES + 1, SINGLE_PUT_BYTES + (9 << 20)])
async def test_a_raw_body_of_any_length_is_stored_as_it_is(size: int) -> None:
    store = memory_store()
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    upload = only(await received(store, body, "application/zip", BodyKind.FILE))
    assert (upload.key, upload.size_bytes) == (KEY, size)
    assert upload.sha256 == hashlib.sha256(body).hexdigest()
    assert await stored(store) == body


async def test_an_empty_body_is_no_file_and_leaves_nothing() -> None:
    store = memory_store()
    assert await received(store, b"", "application/zip", BodyKind.FILE) == Body()
    with pytest.raises(Missing):
        await store.head(KEY)


@pytest.mark.parametrize("size", [1000, SINGLE_PUT_BYTES + 1000])
async def test_what_is_too_large_is_refused_and_leaves_nothing(size: int) -> None:
    store = memory_store()
    with pytest.raises(UserError) as raised:
        await received(store, bytes(size), "application/zip", BodyKind.FILE, limit=size - 1)
    assert raised.value.code == "limit-upload-bytes"
    with pytest.raises(Missing):
        await store.head(KEY)


@pytest.mark.parametrize("size", [1000, SINGLE_PUT_BYTES + (20 << 20)])
async def test_a_client_that_goes_in_the_middle_leaves_nothing(size: int) -> None:
    store = memory_store()

    async def half() -> AsyncIterator[bytes]:
        async for piece in in_pieces(bytes(size)):
            yield piece
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await receive(store, Target(key_of, "upload", 0), half(), "application/zip", BodyKind.FILE)
    with pytest.raises(Missing):
        await store.head(KEY)


@pytest.mark.parametrize("size", [1, 7, 65_536], ids=lambda size: f"in-pieces-of-{size}")
async def test_a_form_has_fields_before_and_behind_its_file(size: int) -> None:
    store = memory_store()
    body = form(
        [
            part("PROJECT_ID", b"P"),
            part("any", b"\r\n--X bytes\r\n", "C:\\scans\\study.zip"),
            part("note", "é".encode()),
        ]
    )
    found = await received(store, body, FORM, BodyKind.FORM, size=size)
    assert found.fields == (("PROJECT_ID", "P"), ("note", "é"))
    assert only(found).name == "study.zip"
    assert await stored(store) == b"\r\n--X bytes\r\n"


@pytest.mark.parametrize("size", [100, SINGLE_PUT_BYTES + 1000])
async def test_several_files_of_a_form_are_stored_one_after_the_other(size: int) -> None:
    store = memory_store()
    contents = [bytes([number]) * (size + number) for number in range(3)]
    parts = [part("f", content, f"{number}.zip") for number, content in enumerate(contents)]
    found = await received(
        store, form([parts[0], part("a", b"b"), part("g", b"", "empty"), *parts[1:]]), FORM, BodyKind.FORM
    )
    assert found.fields == (("a", "b"),)
    assert found.uploads == tuple(
        Upload(key_of(number), f"{number}.zip", size + number, hashlib.sha256(content).hexdigest())
        for number, content in enumerate(contents)
    )
    for number, content in enumerate(contents):
        assert await store.read(key_of(number), 0, 1 << 30) == content


async def test_the_files_of_a_form_share_one_limit() -> None:
    body = form(part("f", bytes(60), f"{number}.zip") for number in range(2))
    assert len((await received(memory_store(), body, FORM, BodyKind.FORM, limit=120)).uploads) == 2
    with pytest.raises(UserError) as raised:
        await received(memory_store(), body, FORM, BodyKind.FORM, limit=119)
    assert raised.value.code == "limit-upload-bytes"


def test_a_length_that_is_too_large_is_refused_before_the_body() -> None:
    assert content_length(Headers({"content-length": "10"}), 10) == 10
    assert content_length(Headers({}), 10) is None
    assert content_length(Headers({"content-length": "99"}), 0) == 99
    with pytest.raises(UserError):
        content_length(Headers({"content-length": "11"}), 10)


async def test_a_large_file_in_a_form_is_stored_by_parts() -> None:
    store = memory_store()
    content = bytes(range(256)) * 80_000
    found = await received(store, form([part("file", content, "a.zip")]), FORM, BodyKind.FORM)
    assert only(found).sha256 == hashlib.sha256(content).hexdigest()
    assert await stored(store) == content


async def test_a_file_field_that_was_left_empty_is_no_file() -> None:
    found = await received(memory_store(), form([part("file", b"", ""), part("a", b"b")]), FORM, BodyKind.FORM)
    assert found == Body((), (("a", "b"),))


MALFORMED = {
    "many-files": (form(part("a", b"1", "a.zip") for _ in range(1001)), FORM, "more than 1000 files"),
    "ends-early": (form([part("a", b"1", "a.zip")])[:-20], FORM, "ends early"),
    "no-boundary": (b"x", "multipart/form-data", "boundary"),
    "not-a-form": (b"this is no form at all, is it?", FORM, "malformed"),
    "long-field": (form([part("a", bytes(70_000))]), FORM, "a is longer"),
    "many-fields": (form(part("a", b"b") for _ in range(1001)), FORM, "too many fields"),
}


@pytest.mark.parametrize("name", list(MALFORMED))
async def test_a_malformed_form_is_refused(name: str) -> None:
    body, content_type, word = MALFORMED[name]
    with pytest.raises(UserError) as raised:
        await received(memory_store(), body, content_type, BodyKind.FORM)
    assert word in raised.value.detail


async def test_an_urlencoded_form_has_fields_alone() -> None:
    found = await received(memory_store(), b"dest=%2Farchive&a=&b=x+y", "", BodyKind.FIELDS)
    assert found == Body((), (("dest", "/archive"), ("a", ""), ("b", "x y")))


@pytest.mark.parametrize("body", [bytes(2 << 20), b"a=b&" * 2000])
async def test_an_urlencoded_form_is_short(body: bytes) -> None:
    with pytest.raises(UserError):
        await received(memory_store(), body, "", BodyKind.FIELDS)


async def test_a_body_that_is_not_needed_is_read_to_its_end() -> None:
    chunks = in_pieces(b"abc", 1)
    await discard(chunks)
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


@pytest.mark.parametrize(
    ("content_type", "is_file", "expected"),
    [
        ("application/zip", False, BodyKind.FILE),
        ("Application/DICOM; transfer-syntax=x", False, BodyKind.FILE),
        ("application/x-zip-compressed", False, BodyKind.FILE),
        ("application/gzip", False, BodyKind.FILE),
        ("text/plain", False, BodyKind.FILE),
        ("multipart/form-data; boundary=x", True, BodyKind.FORM),
        ("application/x-www-form-urlencoded", False, BodyKind.FIELDS),
        ("application/x-www-form-urlencoded", True, BodyKind.FILE),
        ("application/json", False, BodyKind.NONE),
        ("application/json", True, BodyKind.FILE),
        ("", False, BodyKind.NONE),
        ("", True, BodyKind.FILE),
    ],
)
def test_what_a_body_is(content_type: str, is_file: bool, expected: BodyKind) -> None:
    assert kind_of(content_type, is_file=is_file) is expected


@pytest.mark.parametrize(
    ("rest", "content_type", "expected"),
    [("", "application/zip", "upload.zip"), ("", "x/y", "upload"), ("a/b.tgz", "application/zip", "b.tgz")],
)
def test_what_a_raw_body_is_called(rest: str, content_type: str, expected: str) -> None:
    assert name_of(rest, content_type) == expected


def test_uploads_that_do_not_fit_in_memory_are_refused_until_others_end() -> None:
    budget = Budget(UPLOAD_MEMORY + 1000)
    with budget.take(None):
        with budget.take(1000), pytest.raises(Retryable), budget.take(1):
            pass
        with budget.take(10):
            pass


def test_one_upload_always_fits() -> None:
    with Budget(1).take(None):
        pass

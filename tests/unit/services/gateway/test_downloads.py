"""Objects as answers: ranges (RFC 9110 §14), conditions, and many as one zip."""

import io
import zipfile

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from libs.common.errors import Retryable, UserError
from libs.common.storage import Store, memory_store
from services.gateway.downloads import Content, Span, document, download, media_type_of, read_range, zipped

BODY = bytes(range(200)) * 3
CONTENT = Content("k", "a/ü.dcm", len(BODY), "md5", "application/dicom")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", Span(0, 10)),
        ("bytes=5-", Span(5, 95)),
        ("bytes=-10", Span(90, 10)),
        ("bytes=-1000", Span(0, 100)),
        ("bytes=90-1000", Span(90, 10)),
        ("Bytes = 99-99", Span(99, 1)),
        ("bytes=0-1,5-6", None),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("lines=1-2", None),
        ("", None),
    ],
)
def test_a_range(header: str, expected: Span | None) -> None:
    assert read_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end(header: str) -> None:
    with pytest.raises(UserError):
        read_range(header, 100)


async def kept() -> Store:
    store = memory_store()
    await store.put("k", BODY)
    return store


async def body_of(response: Response) -> bytes:
    if isinstance(response, StreamingResponse):
        return b"".join([bytes(piece) async for piece in response.body_iterator])  # type: ignore[arg-type]
    return bytes(response.body)


async def got(is_head: bool = False, content: Content = CONTENT, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await download(await kept(), content, Headers(named), is_head=is_head)


async def test_a_whole_file() -> None:
    answer = await got()
    assert (answer.status_code, await body_of(answer)) == (200, BODY)
    assert answer.headers["content-length"] == str(len(BODY))
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.headers["etag"] == '"md5"'
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC.dcm"


async def test_a_part_of_a_file() -> None:
    answer = await got(range="bytes=10-19")
    assert (answer.status_code, await body_of(answer)) == (206, BODY[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{len(BODY)}"


async def test_a_part_of_another_version_is_the_whole() -> None:
    assert (await got(range="bytes=10-19", if_range='"other"')).status_code == 200
    assert (await got(range="bytes=10-19", if_range='"md5"')).status_code == 206


async def test_a_part_behind_the_end() -> None:
    answer = await got(range="bytes=600-")
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */600")


async def test_a_file_that_the_client_has_is_not_sent_again() -> None:
    assert (await got(if_none_match='"x", "md5"')).status_code == 304


async def test_the_head_of_a_file_has_its_length_and_no_body() -> None:
    answer = await got(is_head=True)
    assert (answer.headers["content-length"], await body_of(answer)) == (str(len(BODY)), b"")


async def test_an_empty_file() -> None:
    answer = await got(content=Content("none", "a", 0, "md5", "x/y"))
    assert (answer.status_code, answer.headers["content-length"], await body_of(answer)) == (200, "0", b"")


async def test_a_file_whose_object_is_gone_is_our_failure() -> None:
    with pytest.raises(Retryable):
        await got(content=Content("gone", "a", 5))


async def test_a_document_that_is_not_written_yet() -> None:
    for is_head in (True, False):
        with pytest.raises(UserError):
            await document(memory_store(), "session.xml", is_head=is_head)


async def test_a_document_is_whole() -> None:
    store = await kept()
    assert await body_of(await document(store, "k", is_head=False)) == BODY
    assert (await document(store, "k", is_head=True)).headers["content-length"] == str(len(BODY))


async def test_a_zip_of_many_objects() -> None:
    store = await kept()
    contents = [
        Content("k", "E/scans/1/files/a", len(BODY)),
        Content("none", "E/empty", 0),
        Content("k", "ü", len(BODY)),
    ]
    packed = b"".join([piece async for piece in zipped(store, contents)])
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "E/scans/1/files/a": BODY,
            "E/empty": b"",
            "ü": BODY,
        }


@pytest.mark.parametrize(
    ("name", "file_format", "expected"),
    [("x", "DICOM", "application/dicom"), ("a.png", "", "image/png"), ("x", "", "application/octet-stream")],
)
def test_the_type_of_a_file(name: str, file_format: str, expected: str) -> None:
    assert media_type_of(name, file_format) == expected

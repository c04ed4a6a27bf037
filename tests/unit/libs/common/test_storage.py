"""What the S3 store says to the server; what it does with it, tests/integration/test_storage.py shows."""

from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from pydantic import SecretStr

from libs.common.storage import PART_BYTES, S3Settings, is_protected, s3_store

Heard = list[tuple[str, str | None, str | None]]  # path, Content-Type, x-amz-content-sha256, of each PUT


class _Server(ThreadingHTTPServer):
    heard: Heard


class _Answers(BaseHTTPRequestHandler):
    """As much of S3 as one upload needs."""

    server: _Server

    def do_PUT(self) -> None:
        self.server.heard.append((self.path, self.headers["Content-Type"], self.headers["x-amz-content-sha256"]))
        self._answer(b"")

    def do_POST(self) -> None:
        begins = "uploads" in self.path
        name, field = ("Initiate", "<UploadId>1</UploadId>") if begins else ("Complete", '<ETag>"1"</ETag>')
        self._answer(f"<{name}MultipartUploadResult>{field}</{name}MultipartUploadResult>".encode())

    def _answer(self, body: bytes) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Answers) as listening:
        listening.heard = []
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


async def test_every_body_and_every_part_has_a_type(server: _Server) -> None:
    """So that no server guesses one and packs what it takes for text (SeaweedFS does)."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(PART_BYTES // 2)

    secret = SecretStr("s")
    endpoint = f"http://127.0.0.1:{server.server_port}"
    store = s3_store(S3Settings(endpoint=endpoint, bucket="b", access_key_id="a", secret_access_key=secret))
    await store.put("one", b"x")
    await store.put_stream("two", chunks())
    assert [path.partition("?")[0] for path, _, _ in server.heard] == ["/b/one", "/b/two", "/b/two"]
    assert {said for _, said, _ in server.heard} == {"application/octet-stream"}
    assert {digest for _, _, digest in server.heard} == {"UNSIGNED-PAYLOAD"}


@pytest.mark.parametrize(
    ("endpoint", "protected"),
    [
        (None, True),  # AWS itself
        ("https://minio.example.org", True),
        ("http://127.0.0.1:8333", True),
        ("http://[::1]:8333", True),
        ("http://localhost:8333", True),
        ("http://seaweedfs:8333", False),
        ("http://127.0.0.1.example.org", False),
    ],
)
def test_a_body_that_travels_a_network_in_the_open_is_signed(endpoint: str | None, protected: bool) -> None:
    assert is_protected(endpoint) is protected

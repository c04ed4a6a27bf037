"""The object store: the port its callers need, and the S3 store behind it.

Bytes travel through obstore: bounded multipart, and ranges without copies. What concerns the bucket is in `bucket.py`.
"""

import contextlib
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, InvalidPathError, NotFoundError, PreconditionError
from obstore.store import MemoryStore
from obstore.store import S3Store as _ObstoreS3
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from libs.common.allocator import keep_freed_memory
from libs.common.errors import Retryable, UserError

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode

PART_BYTES = 8 << 20
PARTS_IN_FLIGHT = 3
SINGLE_PUT_BYTES = 16 << 20
CONTENT_TYPE = "application/octet-stream"
"""Said of every body, also of each part: what has no type, SeaweedFS packs where its first bytes are compressible,
and then unpacks a whole part for each range that is read of it."""


class Missing(Exception):  # noqa: N818 - a situation
    """No object has this key."""


class Changed(Exception):  # noqa: N818
    """The object is not the one the caller has read: read again, then decide again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as the store knows it; `etag` as S3 states it, quotes included."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime | None = None


class ObjectStore(Protocol):
    """What the services need of an object store. Every failure that may pass is `Retryable`."""

    async def put(self, key: str, body: bytes) -> None:
        """Store `body` at `key`. Safe to repeat."""

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        """Store a stream of any length by bounded multipart; the number of bytes. Nothing is stored if it fails."""

    async def replace(self, key: str, body: bytes, etag: str | None) -> str:
        """Store `body` if the object is still `etag` (None: if there is none); the new etag. Raises `Changed`."""

    async def read(self, key: str, start: int, length: int) -> bytes:
        """The bytes from `start`, fewer than `length` only at the object's end. Raises `Missing`."""

    def stream(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """The same in pieces, for bytes of any length. Raises `Missing`."""

    async def head(self, key: str) -> Stored:
        """The object's size and etag. Raises `Missing`."""

    def list(self, prefix: str) -> AsyncIterator[Sequence[Stored]]:
        """All objects below `prefix`, which ends in a slash, in pages. Raises `UserError` for a key not to be used."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; a key without one is no error. For the garbage collector."""


class S3Settings(BaseModel):
    """Where the bucket is. `endpoint` is None for AWS itself."""

    model_config = ConfigDict(frozen=True)

    endpoint: str | None = Field(default=None)
    bucket: str
    region: str = "us-east-1"
    access_key_id: str
    secret_access_key: SecretStr


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise Missing(key) from error
    except (PreconditionError, AlreadyExistsError) as error:
        raise Changed(key) from error
    except InvalidPathError as error:
        told = "An object in the bucket has a key with a control character or an empty part: give it another key."
        raise UserError("key-unusable", told) from error
    except BaseError as error:
        raise Retryable(_code(str(error)), f"the object store refused: {type(error).__name__}") from error


def _code(text: str) -> str:
    if re.search(r"\b507\b|StorageFull|no space|no writable volumes", text, re.IGNORECASE):
        return "store-full"
    return "store-unavailable"


class Store:
    """`ObjectStore` over any obstore store: S3 in the services, memory in unit tests."""

    def __init__(self, store: "_ObstoreS3 | MemoryStore") -> None:
        self._store = store

    async def put(self, key: str, body: bytes) -> None:
        with _translated(key):
            await obstore.put_async(self._store, key, body, use_multipart=False)

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        size = 0
        failure: BaseException | None = None

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size, failure
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    yield chunk
            except BaseException as error:
                failure = error
                raise

        try:
            with _translated(key):
                await obstore.put_async(
                    self._store,
                    key,
                    counted(),
                    use_multipart=True,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_IN_FLIGHT,
                )
        except BaseException:
            if failure is not None:
                raise failure from None
            raise
        return size

    async def replace(self, key: str, body: bytes, etag: str | None) -> str:
        with _translated(key):
            result = await obstore.put_async(self._store, key, body, mode=_mode(etag), use_multipart=False)
        return result["e_tag"] or ""

    async def read(self, key: str, start: int, length: int) -> bytes:
        with _translated(key):
            return bytes(await obstore.get_range_async(self._store, key, start=start, length=length))

    async def stream(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        with _translated(key):
            result = await obstore.get_async(self._store, key, options={"range": (start, start + length)})
            async for chunk in result.stream(min_chunk_size=1 << 20):
                yield bytes(chunk)

    async def head(self, key: str) -> Stored:
        with _translated(key):
            meta = await obstore.head_async(self._store, key)
        return _stored(meta)

    async def list(self, prefix: str) -> AsyncIterator[Sequence[Stored]]:
        with _translated(prefix):
            async for page in obstore.list(self._store, prefix=prefix, chunk_size=1000):
                yield [_stored(meta) for meta in page]

    async def delete(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        with contextlib.suppress(Missing), _translated(keys[0]):
            await obstore.delete_async(self._store, list(keys))


def _stored(meta: "ObjectMeta") -> Stored:
    return Stored(meta["path"], meta["size"], meta["e_tag"] or "", meta["last_modified"])


def _mode(etag: str | None) -> "PutMode":
    """The conditional form of a put: create only, or replace just this version."""
    return "create" if etag is None else {"e_tag": etag}


def s3_store(settings: S3Settings) -> Store:
    """The store of a service: path-style addressing, short time-outs, a few tries for each request."""
    keep_freed_memory()
    return Store(
        _ObstoreS3(
            settings.bucket,
            endpoint=settings.endpoint,
            region=settings.region,
            access_key_id=settings.access_key_id,
            secret_access_key=settings.secret_access_key.get_secret_value(),
            unsigned_payload=is_protected(settings.endpoint),
            virtual_hosted_style_request=settings.endpoint is None,
            client_options={
                "allow_http": True,
                "default_headers": {"Content-Type": CONTENT_TYPE},
                "connect_timeout": timedelta(seconds=5),
                "read_timeout": timedelta(seconds=60),
                "timeout": timedelta(seconds=600),
            },
            retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=20)},
        )
    )


def is_protected(endpoint: str | None) -> bool:
    """Whether TLS guards bodies on their way, or they stay on this machine; elsewhere their SHA-256 is signed."""
    url = urlsplit(endpoint or "https://")
    return url.scheme == "https" or url.hostname in {"127.0.0.1", "::1", "localhost"}


def memory_store() -> Store:
    """A store in memory, for unit tests alone; it passes the same conformance suite as S3."""
    return Store(MemoryStore())

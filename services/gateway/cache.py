"""The user's cache: files that wait for an import to name them by `src` (import semantics §1.3).

A path is a row of `cache_files`, and each PUT a new object, so an import that has named a file keeps its bytes
whatever happens to the path. What no row and no import names is left to the garbage collector.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.errors import UserError
from libs.common.names import is_path_segment
from libs.common.schema import cache_files
from services.gateway.uploads import Upload

PATH_LENGTH = 1024
URI = "/data/user/cache/resources"


@dataclass(frozen=True, slots=True)
class Cached:
    """One file; `name` is its path below its resource."""

    resource: str
    name: str
    key: str
    size_bytes: int
    sha256: str

    @property
    def path(self) -> str:
        """Its path below the cache, as its row has it."""
        return f"{self.resource}/{self.name}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource is there as long as it has files."""

    name: str
    file_count: int
    size_bytes: int


def new_key(login: str) -> str:
    """A key that no other file has; of the login only a digest, for it may be any text."""
    return f"cache/{hashlib.sha256(login.encode()).hexdigest()[:32]}/{uuid4()}"


def path_of(resource: str, name: str) -> str:
    """The path of a file. Raises `UserError` where no file can have it."""
    path = f"{resource}/{name}"
    if len(path) > PATH_LENGTH or not all(is_path_segment(part) for part in path.split("/")):
        raise UserError("path-invalid", f"A path in the cache has no empty part and at most {PATH_LENGTH} characters.")
    return path


async def put_file(connection: AsyncConnection, login: str, path: str, upload: Upload) -> None:
    """Let `path` name the stored bytes, in place of those that it named. Safe to repeat."""
    row = {"object_key": upload.key, "size_bytes": upload.size_bytes, "sha256": upload.sha256}
    statement = insert(cache_files).values(login=login, path=path, **row)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["login", "path"], set_={**row, "created_at": sa.func.now()})
    )


async def lock_files(connection: AsyncConnection, login: str, paths: Sequence[str]) -> list[Upload]:
    """The files of these paths in this order, which nobody takes away before the transaction ends.

    Raises:
        UserError: one is not there.
    """
    if not paths:
        return []
    columns = cache_files.c
    query = (
        sa.select(columns.path, columns.object_key, columns.size_bytes, columns.sha256)
        .where(columns.login == login, columns.path.in_(paths))
        .order_by(columns.path)
        .with_for_update(read=True)
    )
    found = {row.path: row for row in await connection.execute(query)}
    if missing := [path for path in paths if path not in found]:
        raise UserError(
            "not-found-src", f"Unknown src file. There is none at {_shown(missing[0])}: put it there first."
        )
    rows = [found[path] for path in paths]
    return [Upload(row.object_key, row.path.rsplit("/", 1)[-1], row.size_bytes, row.sha256) for row in rows]


def _shown(path: str) -> str:
    resource, _, name = path.partition("/")
    return f"/user/cache/resources/{resource}/files/{name}"


async def list_files(connection: AsyncConnection, login: str, resource: str) -> list[Cached]:
    """The files of a resource by their paths. Raises `UserError` where there is none."""
    query = _select(login).where(_is_in(resource)).order_by(cache_files.c.path)
    found = [_cached(*row) for row in await connection.execute(query)]
    if not found:
        raise UserError("not-found", "There is no such resource in your cache.")
    return found


async def find_file(connection: AsyncConnection, login: str, path: str) -> Cached:
    """One file. Raises `UserError` where it is not there."""
    row = (await connection.execute(_select(login).where(cache_files.c.path == path))).one_or_none()
    if row is None:
        raise UserError("not-found", "There is no such file in your cache.")
    return _cached(*row)


async def list_resources(connection: AsyncConnection, login: str) -> list[Resource]:
    """The resources of a user by their names."""
    columns = cache_files.c
    name = sa.func.split_part(columns.path, "/", 1)
    query = (
        sa.select(name, sa.func.count(), sa.func.sum(columns.size_bytes))
        .where(columns.login == login)
        .group_by(name)
        .order_by(name)
    )
    return [Resource(row[0], row[1], int(row[2])) for row in await connection.execute(query)]


async def drop_file(connection: AsyncConnection, login: str, path: str) -> None:
    """Take one file away. Raises `UserError` where it is not there."""
    await _drop(connection, login, cache_files.c.path == path)


async def drop_resource(connection: AsyncConnection, login: str, resource: str) -> None:
    """Take all files of a resource away. Raises `UserError` where there is none."""
    await _drop(connection, login, _is_in(resource))


async def _drop(connection: AsyncConnection, login: str, which: sa.ColumnElement[bool]) -> None:
    columns = cache_files.c
    dropped = sa.delete(cache_files).where(columns.login == login, which).returning(columns.path)
    if not (await connection.execute(dropped)).all():
        raise UserError("not-found", "There is no such thing in your cache.")


def _is_in(resource: str) -> sa.ColumnElement[bool]:
    return cache_files.c.path.startswith(f"{resource}/", autoescape=True)


def _select(login: str) -> sa.Select[str, str, int, str]:
    columns = cache_files.c
    return sa.select(columns.path, columns.object_key, columns.size_bytes, columns.sha256).where(columns.login == login)


def _cached(path: str, key: str, size_bytes: int, sha256: str) -> Cached:
    resource, _, name = path.partition("/")
    return Cached(resource, name, key, size_bytes, sha256)

"""`scandock export`: a session's files and documents as XNAT lays them out on a disk (import semantics §6.1)."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import names
from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.resource_rows import catalog_paths
from libs.common.schema import assessors, files, resources, scans, sessions
from libs.common.storage import Missing, ObjectStore

ARCHIVE_FOLDER = "arc001"
"""XNAT's name of a project's current archive folder (§6.1)."""
AT_ONCE = 8
_ENTRY = re.compile(r"<cat:entry [^>]*>")
_URI = re.compile(r"""(?<= )URI=("[^"]*"|'[^']*')""")
_ID = re.compile(r"""(?<= )ID=("[^"]*"|'[^']*')""")


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    object_key: str
    size_bytes: int
    md5: str


@dataclass(frozen=True, slots=True)
class _Session:
    id: str
    label: str
    project: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is: files that are there, of all; and how many of them were written now."""

    done: int
    total: int
    written: int


async def export_session(
    engine: AsyncEngine, store: ObjectStore, named: str, directory: Path, tell: Callable[[Progress], None]
) -> Path:
    """Write the session `named` (its ID, or `project/label`) below `directory`; the folder it is in now.

    `{project}/arc001/{label}/SCANS/{scan}/{resource}/{file}`, each resource's catalog beside its files with paths that
    hold there, and the session's XML as `{label}.xml` beside the folder. A file that is there with its MD5 is left, so
    an export that was stopped goes on; bytes that do not have their MD5 are an error.

    Raises:
        UserError: there is no such session, an object is gone, or its bytes are not those that were stored.
    """
    async with transaction(engine) as connection:
        session = await _find(connection, named)
        wanted = await _files(connection, session)
        catalogs = await catalog_paths(connection, session.id)
    home = directory / session.project / ARCHIVE_FOLDER
    folder = home / session.label
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    done = written = 0
    for start in range(0, len(wanted), AT_ONCE):
        batch = wanted[start : start + AT_ONCE]
        written += sum(await asyncio.gather(*(_write(store, folder / file.path, file) for file in batch)))
        done += len(batch)
        tell(Progress(done, len(wanted), written))
    for path in catalogs:
        await _write_document(store, session.prefix + path, folder / path, localize)
    await _write_document(store, names.session_xml_key(session.prefix), home / f"{session.label}.xml", lambda xml: xml)
    return folder


def localize(catalog: str) -> str:
    """A catalog whose files lie beside it: each entry's URI is its ID, the path below the catalog's directory."""

    def of_entry(match: re.Match[str]) -> str:
        entry = match[0]
        name = _ID.search(entry)
        return entry if name is None else _URI.sub(lambda _: f"URI={name[1]}", entry, count=1)

    return _ENTRY.sub(of_entry, catalog)


async def _find(connection: AsyncConnection, named: str) -> _Session:
    columns = sessions.c
    project, _, label = named.rpartition("/")
    is_it = sa.and_(columns.project == project, columns.label == label) if project else columns.id == named
    query = sa.select(columns.id, columns.label, columns.folder, columns.project, columns.prefix)
    row = (
        await connection.execute(
            query.where(is_it, columns.place.in_(("archive", "prearchive"))).order_by(columns.place).limit(1)
        )
    ).one_or_none()
    if row is None:
        raise UserError("not-found", f"There is no session {named}: name it by its ID, or as project/label.")
    return _Session(row.id, row.label or row.folder, row.project or names.UNASSIGNED, row.prefix)


async def _files(connection: AsyncConnection, session: _Session) -> Sequence[_File]:
    rows = await connection.execute(
        sa.select(
            files.c.name,
            files.c.object_key,
            files.c.size_bytes,
            files.c.md5,
            resources.c.label,
            scans.c.scan_id,
            assessors.c.id.label("assessor_id"),
        )
        .select_from(files.join(resources, files.c.resource == resources.c.id).outerjoin(scans).outerjoin(assessors))
        .where(resources.c.session_id == session.id)
        .order_by(files.c.id)
    )
    return [_File(f"{_folder(r)}/{_safe(r.name)}", r.object_key, r.size_bytes, r.md5) for r in rows]


def _folder(row: "sa.Row[*tuple[Any, ...]]") -> str:
    return names.resource_folder(row.scan_id, row.label, row.assessor_id)


def _safe(name: str) -> str:
    """A file's name as it is stored never leaves its resource; this is the last place where that matters."""
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise UserError("name-unsafe", "A file's name would leave the session's folder.")
    return name


async def _write(store: ObjectStore, path: Path, file: _File) -> bool:
    """Whether the file had to be written."""
    if await asyncio.to_thread(_is_there, path, file):
        return False
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with partial.open("wb") as output:
            async for piece in _pieces(store, file):
                digest.update(piece)
                await asyncio.to_thread(output.write, piece)
    except Missing as error:
        raise UserError("object-missing", f"The object {file.object_key} is gone.") from error
    if digest.hexdigest() != file.md5:
        raise UserError("digest-differs", f"The object {file.object_key} does not have the MD5 it was stored with.")
    await asyncio.to_thread(partial.replace, path)
    return True


async def _pieces(store: ObjectStore, file: _File) -> AsyncIterator[bytes]:
    if file.size_bytes:
        async for piece in store.stream(file.object_key, 0, file.size_bytes):
            yield piece


def _is_there(path: Path, file: _File) -> bool:
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    with path.open("rb") as stored:
        return hashlib.file_digest(stored, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == file.md5


async def _write_document(store: ObjectStore, key: str, path: Path, change: Callable[[str], str]) -> None:
    """A document of the session; one that is not written yet, or was never needed, is left out."""
    try:
        size = (await store.head(key)).size_bytes
        xml = (await store.read(key, 0, size)).decode()
    except Missing:
        return
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(path.write_text, change(xml), encoding="utf-8")

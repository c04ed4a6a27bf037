"""gradual-DICOM and DICOM-zip imports over the real database: router and archiver, without broker and extractor."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import end_import, transaction
from libs.common.errors import UserError
from libs.common.messages import ImportFinished, ImportStaged, MembersFound, MembersRouted
from libs.common.outbox import Site
from libs.common.requests import ImportRequest
from libs.common.schema import import_batches, import_members, import_sessions, imports, session_changes, sessions
from libs.common.storage import Store
from services.archiver.handlers import merge_import, stage_members
from services.archiver.staging import Stager
from services.router.handlers import route_members

AT = datetime(2024, 1, 31, 10, 15, 30, 123_000, UTC)
SITE = Site("XNAT", "bucket")
Row = Mapping[str, Any]


@dataclass
class Imports:
    """What a test sends, and what has become of it."""

    engine: AsyncEngine
    store: Store
    numbers: "count[int]" = field(default_factory=count)

    async def received(
        self, files: Mapping[str, bytes], request: ImportRequest, *, login: str = "ann", batch_size: int = 500
    ) -> UUID:
        """An import as the extractor leaves it."""
        import_id = uuid4()
        at = AT.replace(year=2000 + next(self.numbers) % 20)
        paths = list(files)
        batches = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
        async with transaction(self.engine) as connection:
            await connection.execute(
                sa.insert(imports).values(
                    id=import_id, login=login, request=request.model_dump(mode="json"), size_bytes=1, sha256="0",
                    received_at=at, listed_at=at, batch_count=len(batches),
                )
            )  # fmt: skip
            for number, batch in enumerate(batches):
                await self._batch(connection, import_id, number, {path: files[path] for path in batch}, batch_size)
        return import_id

    async def _batch(  # type: ignore[no-untyped-def]
        self, connection, import_id: UUID, number: int, files: Mapping[str, bytes], batch_size: int
    ) -> None:
        batch_id, key = uuid4(), f"uploads/{import_id}/{number}"
        await self.store.put(key, b"".join(files.values()) or b"-")
        row = {"id": batch_id, "import_id": import_id, "ordinal": number, "member_count": len(files), "size_bytes": 1}
        await connection.execute(sa.insert(import_batches).values(row))
        offset = 0
        for ordinal, (path, body) in enumerate(files.items(), start=number * batch_size):
            await connection.execute(
                sa.insert(import_members).values(
                    import_id=import_id, ordinal=ordinal, batch_id=batch_id, path=path, object_key=key,
                    byte_offset=offset, span_bytes=len(body), size_bytes=len(body), encoding="plain",
                )
            )  # fmt: skip
            offset += len(body)

    async def batches(self, import_id: UUID) -> list[UUID]:
        columns = import_batches.c
        rows = await self.rows(sa.select(columns.id).where(columns.import_id == import_id).order_by(columns.ordinal))
        return [row["id"] for row in rows]

    async def route(self, import_id: UUID) -> None:
        """Route every batch; a refusal ends the import, as the broker does."""
        for batch_id in await self.batches(import_id):
            await self.route_batch(import_id, batch_id)

    async def route_batch(self, import_id: UUID, batch_id: UUID) -> None:
        message = MembersFound(import_id=import_id, batch_id=batch_id)
        try:
            await route_members(message, self.store, self.engine, "XNAT")
        except UserError as error:
            await end_import(self.engine, import_id, "rejected", error)

    async def stage(self, import_id: UUID) -> None:
        for batch_id in await self.batches(import_id):
            message = MembersRouted(import_id=import_id, batch_id=batch_id)
            await stage_members(message, Stager(self.store), self.engine)

    async def merge(self, import_id: UUID) -> list[Any]:
        """Merge, and do what that tells: route and stage again, merge what has waited; what else it has told."""
        try:
            told = await merge_import(ImportStaged(import_id=import_id), self.engine, SITE)
        except UserError as error:
            await end_import(self.engine, import_id, "rejected", error)
            return []
        if any(isinstance(one, MembersFound) for one in told):
            await self.route(import_id)
            await self.stage(import_id)
            return await self.merge(import_id)
        for one in told:
            if isinstance(one, ImportStaged):
                await self.merge(one.import_id)
        return told

    async def land(self, files: Mapping[str, bytes], request: ImportRequest, **more: Any) -> "Landed":
        """All the way, catalogs included."""
        import_id = await self.received(files, request, **more)
        await self.route(import_id)
        await self.stage(import_id)
        await self.merge(import_id)
        return await self.catalogued(import_id)

    async def catalogued(self, import_id: UUID) -> "Landed":
        """What became of an import, once its changes have their catalogs."""
        async with transaction(self.engine) as connection:
            await connection.execute(
                sa.update(session_changes).where(session_changes.c.catalogued_at.is_(None)).values(catalogued_at=AT)
            )
        told = await self.merge(import_id)
        row = await self.row(sa.select(imports).where(imports.c.id == import_id))
        found = await self.rows(
            sa.select(import_sessions).where(import_sessions.c.import_id == import_id).order_by("ordinal", "session_id")
        )
        members = await self.rows(
            sa.select(import_members.c.verdict).where(import_members.c.import_id == import_id).order_by("ordinal")
        )
        assert row["outcome"] != "completed" or any(isinstance(one, ImportFinished) for one in told)
        return Landed(
            import_id, row["outcome"], row["code"], row["detail"], [one["uri"] for one in found],
            [one["verdict"] for one in members],
        )  # fmt: skip

    async def entries(self, place: str = "prearchive") -> list[Row]:
        return await self.rows(sa.select(sessions).where(sessions.c.place == place).order_by(sessions.c.id))

    async def files(self, session_id: str) -> list[tuple[str, str]]:
        """Scan ID and name of every file of a session."""
        query = sa.text(
            "select c.scan_id, f.name from files f join resources r on r.id = f.resource join scans c on c.id = r.scan"
            f" where c.session_id = '{session_id}' order by 1, 2"
        )
        return [(row["scan_id"], row["name"]) for row in await self.rows(query)]

    async def bodies(self, session_id: str) -> set[bytes]:
        query = sa.text(f"select object_key, size_bytes from files where session_id = '{session_id}'")
        return {await self.store.read(r["object_key"], 0, r["size_bytes"] + 1) for r in await self.rows(query)}

    async def rows(self, query: sa.Executable) -> Sequence[Row]:
        async with transaction(self.engine) as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def row(self, query: sa.Executable) -> Row:
        (row,) = await self.rows(query)
        return row

    async def execute(self, statement: sa.Executable) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(statement)


@dataclass(frozen=True)
class Landed:
    """What became of an import."""

    id: UUID
    outcome: str | None
    code: str
    detail: str
    uris: list[str]
    verdicts: list[str | None]


async def together(*works: Any) -> list[Any]:
    """Do all at the same time."""
    return list(await asyncio.gather(*works))

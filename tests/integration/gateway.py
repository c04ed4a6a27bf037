"""The gateway's application over real servers, and rows as the workers leave them, for its tests."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import httpx
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.cli.accounts import NewUser, add_user
from libs.common.broker import Broker
from libs.common.database import open_engine, transaction
from libs.common.schema import files, import_sessions, imports, metadata, projects, resources, scans, sessions, subjects
from libs.common.storage import ObjectStore
from services.gateway.accounts import Accounts
from services.gateway.app import build
from services.gateway.parts import Parts
from services.gateway.readiness import Readiness
from services.gateway.settings import Settings
from services.gateway.uploads import Budget
from services.gateway.waiting import Waiting

PASSWORD = "correct horse"
AT = datetime(2024, 1, 31, 10, 15, 30, 123_000, UTC)


def settings_of(environment: Mapping[str, str], **more: object) -> Settings:
    return Settings.model_validate({**environment, **more})


@dataclass
class Gateway:
    """One gateway process as its clients see it, and what is behind it."""

    parts: Parts
    app: FastAPI
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def engine(self) -> AsyncEngine:
        return self.parts.engine

    @property
    def store(self) -> ObjectStore:
        return self.parts.store

    @classmethod
    def over(cls, settings: Settings, store: ObjectStore) -> "Gateway":
        engine = open_engine(settings.database_url)
        broker = Broker(settings.amqp_url, "gateway")
        parts = Parts(
            settings=settings,
            engine=engine,
            store=store,
            broker=broker,
            accounts=Accounts(engine, settings.login_minutes),
            waiting=Waiting(engine, broker, settings.wait_seconds),
            readiness=Readiness(engine, store, broker),
            budget=Budget(settings.max_bytes_in_flight),
        )
        return cls(parts, build(parts))

    def client(self, login: str | None = None, password: str = PASSWORD) -> httpx.AsyncClient:
        """A client with Basic credentials and cookies of its own, or a stranger."""
        made = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://gateway",
            auth=(login, password) if login else None,
        )
        self.clients.append(made)
        return made

    async def user(self, login: str, *, admin: bool = False) -> httpx.AsyncClient:
        """A new user's client."""
        await add_user(self.engine, NewUser(login, PASSWORD, admin=admin))
        return self.client(login)

    async def insert(self, table: sa.Table, *rows: dict[str, object]) -> None:
        async with transaction(self.engine) as connection:
            for row in rows:  # each may set other columns
                await connection.execute(sa.insert(table).values(row))

    async def execute(self, statement: sa.Update | sa.Delete) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(statement)

    async def rows(self, statement: sa.Select[*tuple[object, ...]]) -> list[dict[str, object]]:
        async with transaction(self.engine) as connection:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

    async def empty(self) -> None:
        """Remove every row."""
        async with transaction(self.engine) as connection:
            names = ", ".join(table.name for table in metadata.sorted_tables)
            await connection.execute(sa.text(f"truncate {names} cascade"))

    async def close(self) -> None:
        for each in self.clients:
            await each.aclose()
        await self.parts.broker.close()
        await self.engine.dispose()

    async def only_import(self, seconds: float = 10) -> UUID:
        """The one import that is accepted, as soon as it is."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := await self.rows(sa.select(imports.c.id))):
            assert asyncio.get_running_loop().time() < deadline, "no import was accepted"
            await asyncio.sleep(0.02)
        assert len(found) == 1
        return UUID(str(found[0]["id"]))

    async def finish(
        self, import_id: UUID, outcome: str, code: str = "", detail: str = "", uris: tuple[str, ...] = ()
    ) -> None:
        """End an import as the workers do."""
        for ordinal, uri in enumerate(uris):
            await self.insert(
                import_sessions,
                {
                    "import_id": import_id,
                    "session_id": await self.session(f"{import_id}-{ordinal}", place="prearchive", project=None),
                    "ordinal": ordinal,
                    "uri": uri,
                    "outcome": "merged",
                },
            )
        values = {"outcome": outcome, "code": code, "detail": detail, "finished_at": AT}
        await self.execute(sa.update(imports).where(imports.c.id == import_id).values(values))

    async def project(self, name: str, **more: object) -> None:
        await self.insert(projects, {"id": name, "name": f"name of {name}", **more})

    async def session(self, session_id: str, place: str = "archive", project: str | None = "P", **more: object) -> str:
        row = {
            "id": session_id,
            "place": place,
            "status": "ARCHIVED" if place == "archive" else "READY",
            "project": project,
            "subject_label": "S1",
            "label": f"L-{session_id}",
            "timestamp": "20240131_101530123",
            "folder": session_id,
            "prefix": f"sessions/{project or 'Unassigned'}/{session_id}/",
            "study_instance_uid": f"1.2.{len(session_id)}",
            "xsi_type": "xnat:mrSessionData",
            "attributes": {"StudyDate": "20240130", "StudyTime": "091244.5", "Modality": "MR"},
            "created_at": AT,
            "updated_at": AT,
            "archived_at": AT if place == "archive" else None,
            **more,
        }
        await self.insert(sessions, row)
        return session_id

    async def subject(self, subject_id: str, project: str, label: str) -> str:
        await self.insert(subjects, {"id": subject_id, "project": project, "label": label, "created_at": AT})
        return subject_id

    async def resource(self, session_id: str, scan_id: str | None, label: str, bodies: Mapping[str, bytes]) -> int:
        """A resource with files; of a new scan unless `scan_id` is None."""
        scan = None
        async with transaction(self.engine) as connection:
            if scan_id is not None:
                found = await connection.execute(
                    sa.select(scans.c.id).where(scans.c.session_id == session_id, scans.c.scan_id == scan_id)
                )
                scan = found.scalar_one_or_none() or await connection.scalar(
                    sa.insert(scans)
                    .values(
                        session_id=session_id,
                        scan_id=scan_id,
                        series_instance_uid=f"1.2.3.{scan_id}",
                        xsi_type="xnat:mrScanData",
                        type="t1",
                        quality="usable",
                        modality="MR",
                        modalities=["MR"],
                        sop_class_uids=[],
                        attributes={"SeriesDescription": "t1 mprage"},
                    )
                    .returning(scans.c.id)
                )
            row = {
                "session_id": session_id,
                "scan": scan,
                "label": label,
                "format": label,
                "content": "RAW",
                "file_count": len(bodies),
                "size_bytes": sum(map(len, bodies.values())),
            }
            made: int = (
                await connection.execute(sa.insert(resources).values(row).returning(resources.c.id))
            ).scalar_one()
        for name, body in bodies.items():
            key = f"sessions/{session_id}/{made}/{name}"
            await self.store.put(key, body)
            facts = {"object_key": key, "size_bytes": len(body), "md5": f"md5-{name}", "sha256": ""}
            await self.insert(files, {"session_id": session_id, "resource": made, "name": name, **facts})
        return made

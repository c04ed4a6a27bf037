"""`scandock session`: a command's row, the archiver and the catalog service that do it, and its outcome."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from libs.cli.main import app
from libs.cli.sessions import do
from libs.common.broker import Broker
from libs.common.command_rows import end_work
from libs.common.commands import Delete, Purge, Restore
from libs.common.database import open_engine, upgrade
from libs.common.errors import UserError
from libs.common.messages import CommandReceived, SessionChanged
from libs.common.schema import commands
from libs.common.storage import memory_store
from libs.common.topology import declare_topology
from services.archiver.commands import run_command
from services.catalog.handlers import catalogue_session
from tests.integration.routed import Archive
from tests.integration.test_merge import some, to_archive


@asynccontextmanager
async def services(archive: Archive, amqp_url: str) -> AsyncIterator[Broker]:
    """The archiver's and the catalog service's parts in commands."""
    stop, ends = asyncio.Event(), partial(end_work, archive.engine)
    archiver, catalog = Broker(amqp_url, "archiver"), Broker(amqp_url, "catalog")
    archiver.subscribe(CommandReceived, partial(run_command, engine=archive.engine, site=archive.site), ends)
    catalogue = partial(catalogue_session, store=archive.store, engine=archive.engine, site=archive.site)
    catalog.subscribe(SessionChanged, catalogue, ends)
    serving = [asyncio.create_task(broker.serve(stop)) for broker in (archiver, catalog)]
    broker = Broker(amqp_url, "cli")
    yield broker
    stop.set()
    await asyncio.gather(*serving)
    await broker.close()


async def test_a_session_is_deleted_restored_and_purged(allotment: dict[str, str]) -> None:
    await asyncio.to_thread(upgrade, allotment["DATABASE_URL"])
    await declare_topology(allotment["AMQP_URL"])
    engine = open_engine(allotment["DATABASE_URL"])
    archive = Archive(engine, memory_store())
    await archive.project()
    session_id = (await archive.land(some(2), to_archive())).sessions[0]
    async with services(archive, allotment["AMQP_URL"]) as broker:
        assert (await do(engine, broker, "P/E1", Delete())).uri == ""
        restored = await do(engine, broker, "P/E1", Restore())
        assert restored.uri == "/archive/projects/P/subjects/S1/experiments/E1"
        with pytest.raises(UserError, match="delete it first"):
            await do(engine, broker, session_id, Purge(reason="consent withdrawn"))
        await do(engine, broker, session_id, Delete())
        assert (await do(engine, broker, session_id, Purge(reason="consent withdrawn"))).session_id == session_id
        with pytest.raises(UserError, match="purged"):
            await do(engine, broker, session_id, Restore())
        with pytest.raises(UserError, match="no session"):
            await do(engine, broker, "P/E9", Delete())
    audit = await archive.row(sa.select(commands).where(commands.c.kind == "purge", commands.c.outcome == "completed"))
    assert (audit["session_id"], audit["request"]) == (session_id, {"kind": "purge", "reason": "consent withdrawn"})
    assert isinstance(audit["id"], UUID)
    assert str(audit["login"]).startswith("cli:")
    await engine.dispose()


def test_a_purge_needs_a_reason_and_a_yes(allotment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in allotment.items():
        monkeypatch.setenv(name, value)
    upgrade(allotment["DATABASE_URL"])
    runner = CliRunner()
    assert runner.invoke(app, ["session", "purge", "X"]).exit_code == 2
    assert runner.invoke(app, ["session", "purge", "X", "--reason", " "]).exit_code == 2
    assert runner.invoke(app, ["session", "purge", "X", "--reason", "r"], input="n\n").exit_code == 1
    gone = runner.invoke(app, ["session", "purge", "X", "--reason", "r", "--yes"])
    assert (gone.exit_code, "There is no session X" in gone.output) == (1, True)
    assert runner.invoke(app, ["session", "deleted"]).output == ""

"""The archiver's sweep: commands are told until they have ended, entries that receive no more are committed."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from libs.common.commands import Build
from libs.common.errors import Retryable
from libs.common.messages import CommandReceived, Output, SessionChanged
from libs.common.requests import Duplicates
from libs.common.schema import commands, configs, session_changes, sessions
from services.archiver.sweep import AT_ONCE, start_idle, tell_again
from tests.integration.commanded import catalogue, ended, give, receiving, run, session
from tests.integration.routed import AT, Archive, File
from tests.integration.test_merge import some, to_archive, to_prearchive

NOW = timedelta(0)


class Told:
    """What was published."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    async def __call__(self, *outputs: Output) -> None:
        self.outputs.extend(outputs)


async def idle(archive: Archive, after: timedelta | None = NOW) -> list[Output]:
    told = Told()
    await start_idle(archive.engine, told, after)
    return told.outputs


async def receives(archive: Archive, files: list[File], **values: object) -> str:
    """An entry that still receives."""
    landed = await archive.land(files, to_prearchive(duplicates=Duplicates.CONFLICT))
    await receiving(archive, landed.sessions[0], **{"prevent_auto_commit": False, **values})
    return landed.sessions[0]


async def settle(archive: Archive, told: list[Output]) -> None:
    for one in told:
        assert isinstance(one, CommandReceived)
        await run(archive, one.command_id)
        await catalogue(archive, one.command_id)


async def test_an_entry_that_receives_no_more_is_built(archive: Archive) -> None:
    entry_id = await receives(archive, some(2))
    assert await idle(archive, timedelta(minutes=5)) == []
    assert await idle(archive, None) == [], "the site's preference is five minutes"
    first, second = await asyncio.gather(idle(archive), idle(archive))
    assert len([*first, *second]) == 1
    await settle(archive, [*first, *second])
    built = await session(archive, entry_id)
    assert (built["status"], built["place"]) == ("READY", "prearchive")
    assert await idle(archive) == []


async def test_it_is_archived_where_its_project_wants_that(archive: Archive) -> None:
    entry_id = await receives(archive, some(2), auto_archive=True)
    await settle(archive, await idle(archive))
    assert (await session(archive, entry_id))["place"] == "archive"


@pytest.mark.parametrize("values", [{"prevent_auto_commit": True}, {"source": "uploader"}, {"status": "READY"}])
async def test_an_entry_that_somebody_else_commits_is_left_alone(archive: Archive, values: dict[str, object]) -> None:
    await receives(archive, some(1), **values)
    assert await idle(archive) == []


async def test_an_entry_with_an_open_import_is_not_idle(archive: Archive) -> None:
    entry_id = await receives(archive, some(1))
    open_import = await archive.route(some(1, mark="x"), to_prearchive())
    await archive.execute(
        sa.text("update import_sessions set session_id = :entry where import_id = :id").bindparams(
            entry=entry_id, id=open_import
        )
    )
    assert await idle(archive) == []


async def test_the_site_says_when_an_entry_is_idle(archive: Archive) -> None:
    entry_id = await receives(archive, some(1))
    row = {"tool": "siteConfig", "path": "sessionXmlRebuilderInterval", "version": 1, "contents": "1"}
    await archive.execute(sa.insert(configs).values(row))
    aged = sa.text("update sessions set updated_at = now() - interval '2 minutes' where id = :id")
    await archive.execute(aged.bindparams(id=entry_id))
    assert len(await idle(archive, None)) == 1


async def test_a_direct_archive_lands_and_shows_itself_only_in_conflict(archive: Archive) -> None:
    """A51, A52: nobody commits it; the same data again waits in the prearchive, and the archive is unchanged."""
    first = await receives(archive, some(2), is_direct=True, prevent_auto_commit=True)
    await settle(archive, await idle(archive))
    landed = await session(archive, first)
    assert (landed["place"], landed["is_direct"], landed["label"]) == ("archive", False, "E1")
    second = await receives(archive, some(2), is_direct=True)
    await settle(archive, await idle(archive))
    waiting = await session(archive, second)
    assert (waiting["place"], waiting["status"], waiting["is_direct"]) == ("prearchive", "CONFLICT", False)
    assert (await session(archive, first))["revision"] == landed["revision"]


async def test_a_command_is_told_until_it_has_its_outcome(archive: Archive) -> None:
    entry_id = (await archive.land(some(1), to_prearchive())).sessions[0]
    command_id = await give(archive, entry_id, Build())
    told = Told()
    await tell_again(archive.engine, told)
    assert told.outputs == []
    await archive.execute(sa.update(commands).values(received_at=AT))

    async def refuse(*outputs: Output) -> None:
        if outputs:
            raise Retryable("broker-unavailable", "not confirmed")

    with pytest.raises(Retryable):
        await tell_again(archive.engine, refuse)
    await tell_again(archive.engine, told)
    await tell_again(archive.engine, told)
    assert told.outputs == [CommandReceived(command_id=command_id)]
    await archive.execute(sa.update(commands).values(told_at=AT))
    await tell_again(archive.engine, told)
    assert told.outputs == [CommandReceived(command_id=command_id)] * 2
    await settle(archive, told.outputs)
    assert (await ended(archive, command_id)).outcome == "completed"
    await archive.execute(sa.update(commands).values(told_at=AT))
    await tell_again(archive.engine, told)
    assert len(told.outputs) == 2


async def test_an_archived_session_is_never_idle(archive: Archive) -> None:
    landed = await archive.land(some(1), to_archive())
    await archive.execute(sa.update(sessions).where(sessions.c.id == landed.sessions[0]).values(status="RECEIVING"))
    assert await idle(archive) == []


async def test_changes_that_can_never_be_catalogued_keep_no_others_from_being_told(archive: Archive) -> None:
    """Work that has failed is told again too, once an hour: its message is parked, and would be again."""
    session_id = (await archive.land(some(1), to_archive())).sessions[0]
    failed, lively = await give(archive, session_id, Build()), await give(archive, session_id, Build())
    await archive.execute(sa.update(commands).where(commands.c.id == failed).values(outcome="failed"))
    await archive.execute(sa.delete(session_changes))
    change = {"session_id": session_id, "verb": "updated", "pipelines": False, "resources": [], "event": {}}
    on_the_hour = datetime.now(UTC) - timedelta(days=2)
    rows = [
        {**change, "revision": 10 + number, "event_id": uuid4(), "project": "P", "changed_at": at, "command_id": work}
        for number, (at, work) in enumerate([*[(on_the_hour, failed)] * AT_ONCE, (AT + timedelta(days=1), lively)])
    ]
    await archive.execute(sa.insert(session_changes).values(rows))
    told = Told()
    await tell_again(archive.engine, told)
    changes = [one for one in told.outputs if isinstance(one, SessionChanged)]
    assert len(changes) == AT_ONCE
    assert lively in {one.import_id for one in changes}
    is_failed = session_changes.c.command_id == failed
    half_past = on_the_hour - timedelta(minutes=30)
    await archive.execute(sa.update(session_changes).where(is_failed).values(changed_at=half_past))
    told = Told()
    await tell_again(archive.engine, told)
    assert {one.import_id for one in told.outputs if isinstance(one, SessionChanged)} == {lively}

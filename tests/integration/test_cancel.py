"""Cancelling a running import: it ends as rejected and leaves nothing, or it lands whole; never both."""

import asyncio
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from libs.common.access import User
from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.messages import CommandReceived, ImportFinished
from libs.common.requests import Area, Destination, ImportRequest
from libs.common.schema import commands, import_sessions, imports, sessions
from services.gateway.cancelling import cancel_import
from tests.integration.routed import Archive, File

ADMIN = User("admin", admin=True)
REQUEST = ImportRequest(destination=Destination(area=Area.ARCHIVE, project="P"))
ROUNDS = 12


async def cancel(archive: Archive, import_id: UUID, user: User = ADMIN) -> list[ImportFinished | CommandReceived]:
    async with transaction(archive.engine) as connection:
        return list(await cancel_import(connection, user, import_id))


async def staged(archive: Archive, study: str = "1.2", files: int = 2) -> UUID:
    uploaded = [File(f"{n}.dcm", b"x", f"{study}.{n}", study=study, series=f"{study}.5") for n in range(files)]
    import_id = await archive.route(uploaded, REQUEST)
    await archive.pretend_staged(import_id)
    return import_id


async def places(archive: Archive, import_id: UUID) -> set[object]:
    query = (
        sa.select(sessions.c.place)
        .join_from(import_sessions, sessions, sessions.c.id == import_sessions.c.session_id)
        .where(import_sessions.c.import_id == import_id)
    )
    return {row["place"] for row in await archive.rows(query)}


async def test_a_cancelled_import_is_rejected_and_nothing_of_it_lands(archive: Archive) -> None:
    import_id = await staged(archive)
    assert await cancel(archive, import_id) == [ImportFinished(import_id=import_id)]
    (row,) = await archive.rows(sa.select(imports))
    assert (row["outcome"], row["code"]) == ("rejected", "cancelled")
    assert await places(archive, import_id) == {"deleted"}
    await archive.merge(import_id)
    assert await places(archive, import_id) == {"deleted"}
    assert await cancel(archive, import_id) == [ImportFinished(import_id=import_id)], "again: told again"


async def test_only_the_sender_and_administrators_cancel(archive: Archive) -> None:
    import_id = await staged(archive)
    (row,) = await archive.rows(sa.select(imports.c.login))
    with pytest.raises(UserError, match="not-found"):
        await cancel(archive, import_id, User("somebody"))
    with pytest.raises(UserError, match="not-found"):
        await cancel(archive, uuid4())
    await cancel(archive, import_id, User(str(row["login"])))


async def test_what_has_landed_or_ended_cannot_be_cancelled(archive: Archive) -> None:
    import_id = await staged(archive)
    await archive.merge(import_id)
    with pytest.raises(UserError, match="conflict-import-landed"):
        await cancel(archive, import_id)
    await archive.execute(sa.update(imports).values(outcome="completed"))
    with pytest.raises(UserError, match="conflict-import-ended"):
        await cancel(archive, import_id)


async def test_commands_that_waited_for_the_import_are_told(archive: Archive) -> None:
    import_id = await staged(archive)
    (entry,) = await archive.rows(sa.select(import_sessions.c.session_id))
    row = {"id": uuid4(), "login": "u", "kind": "build", "request": {"kind": "build"}}
    await archive.execute(sa.insert(commands).values(session_id=entry["session_id"], **row))
    assert CommandReceived(command_id=UUID(str(row["id"]))) in await cancel(archive, import_id)


async def test_a_shared_entry_goes_only_if_nobody_else_has_come_to_it(archive: Archive) -> None:
    for others, expected in ((0, "deleted"), (1, "prearchive")):
        first, second = await staged(archive, f"1.2.{others}"), await staged(archive, f"1.3.{others}")
        (entry,) = await archive.rows(
            sa.select(import_sessions.c.session_id).where(import_sessions.c.import_id == first)
        )
        is_it = sessions.c.id == entry["session_id"]
        values = {"place": "prearchive", "status": "RECEIVING", "is_shared": True, "opened_by": None, "revision": 0}
        await archive.execute(sa.update(sessions).where(is_it).values(values))
        if others:
            joined = {"import_id": second, "session_id": entry["session_id"], "ordinal": 1}
            await archive.execute(sa.insert(import_sessions).values(joined))
        await cancel(archive, first)
        (row,) = await archive.rows(sa.select(sessions.c.place).where(is_it))
        assert row["place"] == expected


async def test_a_cancel_and_a_merge_that_meet_do_not_both_win(archive: Archive) -> None:
    won = set()
    for number in range(ROUNDS):
        import_id = await staged(archive, f"1.2.{number}", files=20)
        await archive.execute(sa.update(sessions).where(sessions.c.place == "opening").values(label=f"E{number}"))

        async def merging(import_id: UUID = import_id) -> None:
            await archive.merge(import_id)

        async def cancelling(import_id: UUID = import_id, delay: float = number / 1000) -> bool:
            await asyncio.sleep(delay)
            try:
                await cancel(archive, import_id)
            except UserError:
                return False
            return True

        is_cancelled, _ = await asyncio.gather(cancelling(), merging())
        (row,) = await archive.rows(sa.select(imports.c.code).where(imports.c.id == import_id))
        expected = ("cancelled", {"deleted"}) if is_cancelled else ("", {"archive"})
        assert (row["code"], await places(archive, import_id)) == expected
        won.add(is_cancelled)
    assert won, "somebody wins each time"

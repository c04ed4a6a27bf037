"""What the catalog service does with commands: those that are its own kind, and nothing with the archiver's."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.broker import Output
from libs.common.command_rows import load_command
from libs.common.commands import CommandKind
from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.messages import CommandReceived


async def run_command(message: CommandReceived, engine: AsyncEngine) -> Sequence[Output]:
    """Refresh what the command names. Safe to repeat: what is done is only told again."""
    async with transaction(engine) as connection:
        row = await load_command(connection, message.command_id)
    if row.kind is not CommandKind.REFRESH or row.is_ended:
        return []
    raise UserError("refresh-unserved", "Catalogs cannot be refreshed yet.")

"""The archiver's process."""

import asyncio
from functools import partial

from libs.common.broker import Broker
from libs.common.command_rows import end_work
from libs.common.database import open_engine
from libs.common.messages import CommandReceived, ImportStaged, MembersRouted
from libs.common.outbox import Site
from libs.common.process import run_worker
from libs.common.storage import s3_store
from libs.common.telemetry import configure_logs
from services.archiver.commands import run_command
from services.archiver.garbage import collect_garbage
from services.archiver.handlers import merge_import, stage_members
from services.archiver.settings import Settings
from services.archiver.staging import Stager
from services.archiver.sweep import sweep

BATCHES_AT_ONCE = 2
MERGES_AT_ONCE = 3
"""Single objects should not wait for a large upload; each may have all its facts in memory."""


async def main() -> None:
    """Build the adapters, bind them, run."""
    settings = Settings()
    configure_logs("archiver")
    engine = open_engine(settings.database_url)
    broker = Broker(settings.amqp_url, "archiver")
    site = Site(settings.site_id, settings.s3_bucket)
    ends = partial(end_work, engine)
    stager = Stager(s3_store(settings.s3))
    broker.subscribe(MembersRouted, partial(stage_members, stager=stager, engine=engine), ends, BATCHES_AT_ONCE)
    broker.subscribe(ImportStaged, partial(merge_import, engine=engine, site=site), ends, MERGES_AT_ONCE)
    broker.subscribe(CommandReceived, partial(run_command, engine=engine, site=site), ends)
    behind = [
        asyncio.create_task(sweep(engine, broker.publish, settings.idle)),
        asyncio.create_task(collect_garbage(engine, settings.s3, settings.retention)),
    ]
    try:
        await run_worker(broker)
    finally:
        for task in behind:
            task.cancel()
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())

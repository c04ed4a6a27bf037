"""The catalog service: what has been merged becomes readable, and is told."""

import asyncio
from functools import partial

from libs.common import telemetry
from libs.common.broker import Broker
from libs.common.command_rows import end_work
from libs.common.database import open_engine
from libs.common.messages import CommandReceived, ImportFinished, SessionChanged
from libs.common.outbox import Site
from libs.common.process import run_worker
from libs.common.settings import Settings
from libs.common.storage import s3_store
from services.catalog.commands import run_command
from services.catalog.handlers import catalogue_session, conclude_import, leave_ended

CONCURRENCY = 2


async def main() -> None:
    telemetry.configure_logs("catalog")
    settings = Settings()
    engine = open_engine(settings.database_url)
    store, site = s3_store(settings.s3), Site(settings.site_id, settings.s3_bucket)
    broker = Broker(settings.amqp_url, "catalog")
    catalogue = partial(catalogue_session, store=store, engine=engine, site=site)
    broker.subscribe(SessionChanged, catalogue, partial(end_work, engine), CONCURRENCY)
    command = partial(run_command, store=store, engine=engine, site=site)
    broker.subscribe(CommandReceived, command, partial(end_work, engine), CONCURRENCY)
    conclude = partial(conclude_import, store=store, engine=engine, site=site)
    broker.subscribe(ImportFinished, conclude, leave_ended, CONCURRENCY)
    try:
        await run_worker(broker)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())

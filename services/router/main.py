"""The router: `members.found` in, `members.routed` out."""

import asyncio
import logging
import warnings
from functools import partial

from libs.common.broker import Broker
from libs.common.command_rows import end_work
from libs.common.database import open_engine
from libs.common.messages import MembersFound
from libs.common.process import run_worker
from libs.common.settings import Settings
from libs.common.storage import s3_store
from libs.common.telemetry import configure_logs
from services.router.handlers import route_members


async def main() -> None:
    configure_logs("router")
    logging.getLogger("pydicom").setLevel(logging.ERROR)  # it warns of every odd value that it decodes
    warnings.filterwarnings("ignore", module="pydicom")
    settings = Settings()
    store = s3_store(settings.s3)
    engine = open_engine(settings.database_url)
    broker = Broker(settings.amqp_url, "router")
    route = partial(route_members, store=store, engine=engine, site_id=settings.site_id)
    broker.subscribe(MembersFound, route, partial(end_work, engine), concurrency=2)
    try:
        await run_worker(broker)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())

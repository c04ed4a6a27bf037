"""The extractor: `import.received` in, `members.found` out."""

import asyncio
from functools import partial

from pydantic import Field

from libs.common.broker import Broker
from libs.common.command_rows import end_work
from libs.common.database import open_engine
from libs.common.messages import ImportReceived
from libs.common.process import run_worker
from libs.common.settings import Settings
from libs.common.storage import s3_store
from libs.common.telemetry import configure_logs
from services.extractor.handlers import hold_import
from services.extractor.leases import Leases, sweep
from services.extractor.limits import Limits

CONCURRENCY = 2


class ExtractorSettings(Settings):
    """The site's, and how much one upload may unpack to."""

    max_unpacked_bytes: int = Field(default=Limits().size_bytes, alias="SCANDOCK_MAX_UNPACKED_BYTES")
    max_members: int = Field(default=Limits().members, alias="SCANDOCK_MAX_MEMBERS")
    max_ratio: int = Field(default=Limits().ratio, alias="SCANDOCK_MAX_RATIO")
    max_depth: int = Field(default=Limits().depth, alias="SCANDOCK_MAX_DEPTH")

    @property
    def limits(self) -> Limits:
        """The limits of one upload."""
        return Limits(
            size_bytes=self.max_unpacked_bytes, members=self.max_members, ratio=self.max_ratio, depth=self.max_depth
        )


async def main() -> None:
    settings = ExtractorSettings()
    configure_logs("extractor")
    engine = open_engine(settings.database_url)
    broker = Broker(settings.amqp_url, "extractor")
    leases = Leases(engine, broker.publish)
    handler = partial(hold_import, store=s3_store(settings.s3), engine=engine, limits=settings.limits, leases=leases)
    broker.subscribe(ImportReceived, handler, partial(end_work, engine), CONCURRENCY)
    sweeping = asyncio.create_task(sweep(engine, broker.publish))
    try:
        await run_worker(broker)
    finally:
        sweeping.cancel()
        await leases.close()
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())

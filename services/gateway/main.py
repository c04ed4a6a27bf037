"""The gateway's process: HTTP in front, the sweep and the broker's connection behind."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.common.broker import Broker
from libs.common.database import open_engine
from libs.common.process import stop_on_signals
from libs.common.storage import s3_store
from libs.common.telemetry import configure_logs
from services.gateway.accounts import Accounts
from services.gateway.app import build
from services.gateway.parts import Parts
from services.gateway.readiness import Readiness
from services.gateway.settings import Settings
from services.gateway.sweep import sweep
from services.gateway.uploads import Budget
from services.gateway.waiting import Waiting

DATABASE_CONNECTIONS = 20
GRACE_SECONDS = 20
KEEP_ALIVE_SECONDS = 75
HEAD_BYTES = 64 << 10


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 whose request line and headers are bounded, which the parser itself does not do."""

    _is_in_head = True
    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response("The request's line and headers are too long.")


class Server(uvicorn.Server):
    """Stops when `serve` tells it, which alone listens to signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings) -> None:
    engine = open_engine(settings.database_url, DATABASE_CONNECTIONS)
    store = s3_store(settings.s3)
    broker = Broker(settings.amqp_url, "gateway")
    waiting = Waiting(engine, broker, settings.wait_seconds)
    parts = Parts(
        settings=settings,
        engine=engine,
        store=store,
        broker=broker,
        accounts=Accounts(engine, settings.login_minutes),
        waiting=waiting,
        readiness=Readiness(engine, store, broker),
        budget=Budget(settings.max_bytes_in_flight),
    )
    config = uvicorn.Config(
        build(parts),
        host=settings.host,
        port=settings.port,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    silent_after = timedelta(hours=settings.silent_hours)
    behind = [
        asyncio.create_task(waiting.look()),
        asyncio.create_task(waiting.listen()),
        asyncio.create_task(sweep(engine, broker, settings.site_id, silent_after)),
    ]
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop_on_signals().wait())
    await asyncio.wait([serving, stopping, *behind], return_when=asyncio.FIRST_COMPLETED)
    waiting.stop()
    server.should_exit = True
    await serving
    ended = [task for task in behind if task.done()]  # only by a bug, which ends the process
    for task in (stopping, *behind):
        task.cancel()
    await asyncio.gather(stopping, *behind, return_exceptions=True)
    await broker.close()
    await engine.dispose()
    for task in ended:
        task.result()


def main() -> None:
    configure_logs("gateway")
    uvicorn_loop = uvicorn.Config("", loop="uvloop").get_loop_factory()
    with asyncio.Runner(loop_factory=uvicorn_loop) as runner:
        runner.run(serve(Settings()))


if __name__ == "__main__":
    main()

"""How a service process runs and stops."""

import asyncio
import signal

from libs.common.broker import Broker


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def run_worker(broker: Broker) -> None:
    """Consume until told to stop."""
    await broker.serve(stop_on_signals())

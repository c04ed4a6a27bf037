"""Publishing and consuming, said once for all services: decoding, settling, retrying, parking (architecture §4).

Delivery is at least once. A message is acknowledged when its outputs are confirmed; a failed attempt waits in a
retry queue and comes back; what can't succeed is parked with its reason and never expires.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import aio_pika
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, HeadersType
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, DeliveryError, PublishError
from pydantic import ValidationError

from libs.common import telemetry
from libs.common.envelopes import event_envelope, message_envelope
from libs.common.errors import Poison, Retryable, ScandockError, UserError
from libs.common.messages import Event, ImportFinished, Message, Output
from libs.common.subscriptions import End, Subscription
from libs.common.topology import DEAD, EVENTS, RETRY_SECONDS, WORK, queue_name, retry_queue_name

ATTEMPTS = 20
"""Tries before a message is parked: with the retry delays, somewhat over an hour."""
ATTEMPT = "x-scandock-attempt"
DRAIN_SECONDS = 20
WATCH_SECONDS = 15
RECONNECT_SECONDS = (0.2, 1, 2, 5, 10)
PUBLISH_SECONDS = 30

M = TypeVar("M", bound=Message)


class Broker:
    """The one connection of a service; it is made again whenever it is lost."""

    def __init__(self, amqp_url: str, service: str) -> None:
        self._url = amqp_url
        self._service = service
        self._subscriptions: list[Subscription] = []
        self._connection: AbstractConnection | None = None
        self._publisher: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    def subscribe(
        self,
        message: type[M],
        handler: Callable[[M], Awaitable[Sequence[Output]]],
        end: End,
        concurrency: int = 1,
    ) -> None:
        """Have `handler` called for each `message`, at most `concurrency` at a time, once `serve` runs."""
        queue = queue_name(self._service, message)
        self._subscriptions.append(Subscription(queue, message, handler, end, concurrency))

    @property
    def is_connected(self) -> bool:
        """Whether a publish would find an open connection."""
        return self._connection is not None and not self._connection.is_closed

    async def consumers(self, queue: str) -> int:
        """How many consume `queue`; none where there is no such queue. Raises `Retryable` while the broker is away."""
        try:
            await self._channel()
            assert self._connection is not None  # noqa: S101 - just opened
            probe = await self._connection.channel()
            try:
                declared = await probe.declare_queue(queue, passive=True)
            finally:
                with contextlib.suppress(AMQPError, RuntimeError):
                    await probe.close()
        except ChannelNotFoundEntity:
            return 0
        except (AMQPError, ConnectionError, OSError, TimeoutError, RuntimeError) as error:
            raise Retryable("broker-unavailable", f"the broker does not answer: {type(error).__name__}") from error
        return declared.declaration_result.consumer_count or 0

    async def publish(self, *outputs: Output) -> None:
        """Publish persistent, mandatory and confirmed. Raises `Retryable` if any output is not confirmed."""
        if not outputs:
            return
        try:
            channel = await self._channel()
            await asyncio.gather(*(self._publish(channel, output) for output in outputs))
        except (AMQPError, ConnectionError, OSError, TimeoutError, RuntimeError) as error:
            raise Retryable("broker-unavailable", f"a message is not confirmed: {type(error).__name__}") from error

    async def _publish(self, channel: AbstractChannel, output: Output) -> None:
        if isinstance(output, Event):
            exchange, key, envelope = EVENTS, output.routing_key, event_envelope(output)
        else:
            exchange, key, envelope = WORK, output.TYPE, message_envelope(output, self._service)
        target = await channel.get_exchange(exchange, ensure=False)
        await target.publish(envelope, key, mandatory=True, timeout=PUBLISH_SECONDS)

    async def _channel(self) -> AbstractChannel:
        async with self._opening:
            if self._connection is None or self._connection.is_closed:
                self._connection = await aio_pika.connect(
                    self._url, timeout=10, client_properties={"connection_name": f"scandock.{self._service}"}
                )
                self._publisher = None
            if self._publisher is None or self._publisher.is_closed:
                self._publisher = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            return self._publisher

    async def watch(self, message: type[ImportFinished], seen: Callable[[ImportFinished], None]) -> None:
        """Call `seen` for each `message`, on a queue that lives as long as this connection; until it is lost.

        Only a wake-up: what is missed while the connection is away must be found by looking.
        """
        await self._channel()
        assert self._connection is not None  # noqa: S101 - just opened
        channel = await self._connection.channel()
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(WORK, message.TYPE)
        async with queue.iterator(no_ack=True) as deliveries:
            async for delivery in deliveries:
                with contextlib.suppress(ValidationError):
                    seen(message.model_validate_json(delivery.body))

    async def serve(self, stop: asyncio.Event) -> None:
        """Consume until `stop`, then finish or hand back what is in hand, within `DRAIN_SECONDS`."""
        failures = 0
        while not stop.is_set():
            try:
                await self._consume(stop)
                failures = 0
            except (AMQPError, ConnectionError, OSError, TimeoutError, RuntimeError, Retryable) as error:
                telemetry.reconnects.labels(self._service).inc()
                telemetry.log().warning("broker lost", reason=type(error).__name__)
                delay = RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)]
                failures += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay)
        await self.close()

    async def _consume(self, stop: asyncio.Event) -> None:
        await self._channel()
        connection = self._connection
        assert connection is not None  # noqa: S101 - just opened
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: lost.set())
        channels = []
        for subscription in self._subscriptions:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=subscription.concurrency)
            queue = await channel.declare_queue(subscription.queue, passive=True)
            tag = await queue.consume(partial(self._start, subscription))
            channels.append((channel, queue, tag))
        telemetry.log().info("consuming", queues=[s.queue for s in self._subscriptions])
        try:
            while not stop.is_set():
                await _first(stop, lost)
                if not stop.is_set():  # what is in hand is finished, whatever the check would say
                    await self._check(connection)
            for _, queue, tag in channels:
                await queue.cancel(tag)
            if self._running:
                await asyncio.wait(self._running, timeout=DRAIN_SECONDS)
        finally:
            for task in self._running:
                task.cancel()
            if not stop.is_set():
                await self.close()

    async def _check(self, connection: AbstractConnection) -> None:
        """A consumer that the broker has cancelled, or forgotten, is found by asking."""
        if connection.is_closed:
            raise ConnectionError("closed")
        for subscription in self._subscriptions:
            if not await self.consumers(subscription.queue):
                raise ConnectionError("cancelled")

    async def _start(self, subscription: Subscription, delivery: AbstractIncomingMessage) -> None:
        task = asyncio.create_task(self._settle(subscription, delivery))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _settle(self, subscription: Subscription, delivery: AbstractIncomingMessage) -> None:
        started = time.monotonic()
        attempt = _attempt(delivery)
        try:
            outcome = await self._handle(subscription, delivery)
            await delivery.ack()
        except (AMQPError, ConnectionError, RuntimeError, Retryable) as error:
            outcome = "unsettled"  # the broker delivers it again
            telemetry.log().warning("not settled", queue=subscription.queue, reason=type(error).__name__)
        kind = subscription.message.TYPE
        telemetry.messages_handled.labels(self._service, kind, outcome).inc()
        telemetry.message_seconds.labels(self._service, kind).observe(time.monotonic() - started)
        telemetry.log().info(
            "message",
            type=kind,
            message_id=delivery.message_id,
            work_id=delivery.correlation_id,
            attempt=attempt,
            outcome=outcome,
            milliseconds=round((time.monotonic() - started) * 1000),
        )

    async def _handle(self, subscription: Subscription, delivery: AbstractIncomingMessage) -> str:
        try:
            message = subscription.message.model_validate_json(delivery.body)
        except ValidationError:
            await self._park(subscription, delivery, Poison("undecodable", "the body is not the contract's"))
            return "parked"
        try:
            await self.publish(*await subscription.handler(message))
        except UserError as error:
            await self.publish(*await subscription.end(message.work_id, "rejected", error))
            return "rejected"
        except Poison as error:
            return await self._give_up(subscription, delivery, message, error)
        except Retryable as error:
            return await self._retry(subscription, delivery, message, error)
        except Exception as error:  # the one place: a bug is retried, counted and shown
            telemetry.bugs.labels(self._service, subscription.message.TYPE).inc()
            telemetry.log().exception("bug", type=subscription.message.TYPE, work_id=str(message.work_id))
            return await self._retry(subscription, delivery, message, Retryable("bug", type(error).__name__))
        return "done"

    async def _retry(
        self, subscription: Subscription, delivery: AbstractIncomingMessage, message: Message, error: Retryable
    ) -> str:
        attempt = _attempt(delivery)
        if attempt >= (ATTEMPTS if error.code != "bug" else len(RETRY_SECONDS)):
            return await self._give_up(subscription, delivery, message, error)
        headers: HeadersType = {**delivery.headers, ATTEMPT: attempt + 1}
        await self._forward("", retry_queue_name(subscription.queue, attempt), delivery, headers)
        telemetry.log().warning("retry", queue=subscription.queue, attempt=attempt, code=error.code)
        return "retried"

    async def _give_up(
        self, subscription: Subscription, delivery: AbstractIncomingMessage, message: Message, error: ScandockError
    ) -> str:
        await self._park(subscription, delivery, error)
        await self.publish(*await subscription.end(message.work_id, "failed", error))
        return "parked"

    async def _park(self, subscription: Subscription, delivery: AbstractIncomingMessage, error: ScandockError) -> None:
        headers: HeadersType = {
            **delivery.headers,
            "x-scandock-queue": subscription.queue,
            "x-scandock-code": error.code,
            "x-scandock-detail": error.detail[:250],
        }
        await self._forward(DEAD, subscription.queue, delivery, headers)
        telemetry.log().error("parked", queue=subscription.queue, code=error.code)

    async def _forward(self, exchange: str, key: str, delivery: AbstractIncomingMessage, headers: HeadersType) -> None:
        channel = await self._channel()
        target = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
        copy = aio_pika.Message(
            delivery.body,
            headers=headers,
            content_type=delivery.content_type,
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=delivery.message_id,
            correlation_id=delivery.correlation_id,
            timestamp=delivery.timestamp,
            type=delivery.type,
            app_id=delivery.app_id,
        )
        try:
            await target.publish(copy, key, mandatory=True, timeout=PUBLISH_SECONDS)
        except (DeliveryError, PublishError) as error:
            raise Retryable("broker-refused", "the retry or parking queue refused a message") from error

    async def close(self) -> None:
        """Close the connection; what is not settled goes back to the broker."""
        connection, self._connection, self._publisher = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(AMQPError, ConnectionError, RuntimeError, TimeoutError):
                await asyncio.wait_for(connection.close(), 5)


async def _first(*events: asyncio.Event) -> None:
    """Until one of `events`, at most `WATCH_SECONDS`."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _attempt(delivery: AbstractIncomingMessage) -> int:
    value = delivery.headers.get(ATTEMPT, 1)
    return value if isinstance(value, int) else 1

"""Settling, retrying and parking against the real broker."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import aio_pika
import pytest
import pytest_asyncio
from cloudevents.core.bindings.amqp import from_amqp_event  # type: ignore[import-untyped]

from libs.common import broker as broker_module
from libs.common.broker import Broker
from libs.common.errors import Poison, Retryable, ScandockError, UserError
from libs.common.messages import Event, ImportEvent, ImportFinished, ImportReceived, MembersFound, Output
from libs.common.topology import EVENTS, PARKED, declare_topology, queue_name
from tests.servers import Servers

counter = itertools.count(secrets.randbelow(1 << 30))
QUEUE = queue_name("extractor", ImportReceived)


@pytest_asyncio.fixture
async def amqp_url(servers: Servers) -> str:
    name = f"broker-{next(counter)}"
    servers.create_vhost(name)
    url = servers.vhost_url(name)
    await declare_topology(url)
    return url


@pytest_asyncio.fixture
async def channel(amqp_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(amqp_url) as connection:
        yield await connection.channel()


class Serving:
    """A consumer of `import.received` that runs until the test ends."""

    def __init__(self, url: str, handler: Callable[[ImportReceived], Awaitable[Sequence[Output]]]) -> None:
        self.ended: list[tuple[UUID, str, str]] = []
        self.stop = asyncio.Event()
        self.broker = Broker(url, "extractor")
        self.broker.subscribe(ImportReceived, handler, self._end, concurrency=4)
        self.task: asyncio.Task[None] | None = None

    async def _end(self, import_id: UUID, outcome: str, error: ScandockError) -> Sequence[Output]:
        self.ended.append((import_id, outcome, error.code))
        return [ImportFinished(import_id=import_id)]

    async def __aenter__(self) -> "Serving":
        self.task = asyncio.create_task(self.broker.serve(self.stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        assert self.task is not None
        await asyncio.wait_for(self.task, 30)


async def eventually(check: Callable[[], Awaitable[bool]], what: str, seconds: float = 20) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await check():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)


async def depth(channel: aio_pika.abc.AbstractChannel, queue: str) -> int:
    declared = await channel.declare_queue(queue, passive=True)
    return declared.declaration_result.message_count or 0


async def test_outputs_are_published_before_the_ack(amqp_url: str, channel: aio_pika.abc.AbstractChannel) -> None:
    message, batch = ImportReceived(import_id=uuid4()), uuid4()

    async def handler(received: ImportReceived) -> Sequence[Output]:
        return [MembersFound(import_id=received.import_id, batch_id=batch)]

    async with Serving(amqp_url, handler) as serving:
        await serving.broker.publish(message)
        found = await channel.get_queue(queue_name("router", MembersFound))
        delivery = await found.get(timeout=10, fail=False)
        while delivery is None:
            delivery = await found.get(timeout=10, fail=False)
        await delivery.ack()
        assert MembersFound.model_validate_json(delivery.body).batch_id == batch
        assert delivery.correlation_id == str(message.import_id)
        assert delivery.type == "members.found.v1"
    assert await depth(channel, QUEUE) == 0
    assert await depth(channel, PARKED) == 0


async def test_a_retryable_failure_comes_back_and_succeeds(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    tries: list[float] = []

    async def handler(_: ImportReceived) -> Sequence[Output]:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) < 2:
            raise Retryable("store-unavailable", "away")
        return []

    async with Serving(amqp_url, handler) as serving:
        await serving.broker.publish(ImportReceived(import_id=uuid4()))
        await eventually(lambda: _true(len(tries) == 2), "the second try")
    assert tries[1] - tries[0] >= 0.9
    assert await depth(channel, QUEUE) == 0
    assert not serving.ended


async def test_the_senders_mistake_ends_the_import_as_rejected(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    message = ImportReceived(import_id=uuid4())

    async def handler(_: ImportReceived) -> Sequence[Output]:
        raise UserError("not-an-archive", "looks like a PDF")

    async with Serving(amqp_url, handler) as serving:
        await serving.broker.publish(message)
        await eventually(lambda: _true(bool(serving.ended)), "the end of the import")
    assert serving.ended == [(message.import_id, "rejected", "not-an-archive")]
    assert await depth(channel, PARKED) == 0
    await eventually(lambda: _has(channel, queue_name("catalog", ImportFinished), 1), "import.finished")


@pytest.mark.parametrize("failure", [Poison("impossible", "breaks its contract"), ValueError("a bug")])
async def test_what_cannot_succeed_is_parked_with_its_reason(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "RETRY_SECONDS", (1,))  # one try for a bug, so that the test is short
    message = ImportReceived(import_id=uuid4())

    async def handler(_: ImportReceived) -> Sequence[Output]:
        raise failure

    async with Serving(amqp_url, handler) as serving:
        await serving.broker.publish(message)
        await eventually(lambda: _has(channel, PARKED, 1), "a parked message")
        await eventually(lambda: _true(bool(serving.ended)), "the end of the import")
    parked = await (await channel.get_queue(PARKED)).get()
    await parked.ack()
    assert parked.body == message.model_dump_json().encode()
    assert parked.headers["x-scandock-queue"] == QUEUE
    assert parked.headers["x-scandock-code"] == ("impossible" if isinstance(failure, Poison) else "bug")
    assert [ended[1] for ended in serving.ended] == ["failed"]


async def test_an_undecodable_message_is_parked_and_its_neighbours_go_on(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    handled: list[UUID] = []

    async def handler(received: ImportReceived) -> Sequence[Output]:
        handled.append(received.import_id)
        return []

    good = [ImportReceived(import_id=uuid4()) for _ in range(3)]
    async with Serving(amqp_url, handler) as serving:
        await serving.broker.publish(good[0])
        await channel.default_exchange.publish(aio_pika.Message(b"not json"), QUEUE)
        await serving.broker.publish(*good[1:])
        await eventually(lambda: _true(len(handled) == 3), "three good messages")
        await eventually(lambda: _has(channel, PARKED, 1), "a parked message")
    assert set(handled) == {message.import_id for message in good}


async def test_a_consumer_that_stops_hands_its_message_back(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "DRAIN_SECONDS", 0.2)
    started = asyncio.Event()

    async def handler(_: ImportReceived) -> Sequence[Output]:
        started.set()
        await asyncio.Event().wait()
        return []

    async with Serving(amqp_url, handler) as serving:
        await serving.broker.publish(ImportReceived(import_id=uuid4()))
        await asyncio.wait_for(started.wait(), 10)
    await eventually(lambda: _has(channel, QUEUE, 1), "the message back in its queue")


async def test_what_is_in_hand_at_a_stop_is_finished_although_its_queue_has_gone(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    started, batch = asyncio.Event(), uuid4()

    async def handler(received: ImportReceived) -> Sequence[Output]:
        started.set()
        await serving.stop.wait()
        await asyncio.sleep(0.5)  # the work that is in hand
        return [MembersFound(import_id=received.import_id, batch_id=batch)]

    async with Serving(amqp_url, handler) as serving:
        await serving.broker.publish(ImportReceived(import_id=uuid4()))
        await asyncio.wait_for(started.wait(), 10)
        await channel.queue_delete(QUEUE)
    await eventually(lambda: _has(channel, queue_name("router", MembersFound), 1), "the output")


async def test_a_lost_connection_is_made_again(amqp_url: str, channel: aio_pika.abc.AbstractChannel) -> None:
    handled: list[UUID] = []

    async def handler(received: ImportReceived) -> Sequence[Output]:
        handled.append(received.import_id)
        return []

    async with Serving(amqp_url, handler) as serving:
        await serving.broker.publish(ImportReceived(import_id=uuid4()))
        await eventually(lambda: _true(len(handled) == 1), "the first message")
        assert serving.broker._connection is not None
        await serving.broker._connection.close()
        await _published(serving.broker, ImportReceived(import_id=uuid4()))
        await eventually(lambda: _true(len(handled) == 2), "the second message", 40)


async def test_an_event_is_readable_by_the_cloudevents_package(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(EVENTS, "import.*.v1.#")
    import_id = uuid4()
    event = Event.of(
        "import.completed",
        event_id=uuid4(),
        data=ImportEvent(import_id=import_id, size_bytes=7, verdicts={"stored": 2}),
        source="/scandock/XNAT",
        subject=f"/imports/{import_id}",
        time=datetime.now(UTC),
        sequence="1".zfill(20),
        partitionkey=str(import_id),
        correlationid=str(import_id),
        project="P1",
    )
    publisher = Broker(amqp_url, "catalog")
    await publisher.publish(event)
    await publisher.close()
    delivery = await queue.get(timeout=10)
    await delivery.ack()
    assert delivery.routing_key == "import.completed.v1.P1"
    assert delivery.headers["cloudEvents_type"] == "org.scandock.import.completed.v1"
    decoded = decode(delivery)
    assert decoded.get_type() == "org.scandock.import.completed.v1"
    assert decoded.get_id() == str(event.id)
    assert decoded.get_data()["verdicts"] == {"stored": 2}


async def test_a_publish_without_a_queue_is_an_error(amqp_url: str) -> None:
    publisher = Broker(amqp_url, "gateway")
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(QUEUE)
        await queue.unbind("scandock.work", ImportReceived.TYPE)
    with pytest.raises(Retryable):
        await publisher.publish(ImportReceived(import_id=uuid4()))
    await publisher.close()


def decode(delivery: aio_pika.abc.AbstractIncomingMessage):  # type: ignore[no-untyped-def]
    from cloudevents.core.bindings.amqp import AMQPMessage  # type: ignore[import-untyped]

    properties = {"content-type": delivery.content_type}
    return from_amqp_event(AMQPMessage(properties, dict(delivery.headers), delivery.body))


async def _true(value: bool) -> bool:
    return value


async def _has(channel: aio_pika.abc.AbstractChannel, queue: str, count: int) -> bool:
    return await depth(channel, queue) == count


async def _published(broker: Broker, message: ImportReceived) -> None:
    try:
        await broker.publish(message)
    except Retryable:
        await broker.publish(message)

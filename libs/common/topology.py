"""Exchanges, queues and bindings of Scandock, made by one job that is safe to repeat (architecture §4)."""

import asyncio
import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import aio_pika
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

from libs.common.messages import (
    CommandReceived,
    ImportFinished,
    ImportReceived,
    ImportStaged,
    MembersFound,
    MembersRouted,
    Message,
    SessionChanged,
)

WORK = "scandock.work"
EVENTS = "scandock.events"
DEAD = "scandock.dead"
PARKED = "scandock.parked"
EVENT_LOG = "scandock.events.log"

RETRY_SECONDS = (1, 10, 60, 300)
"""Delays of the retry queues; the last one repeats."""

CONSUMERS: Mapping[str, tuple[type[Message], ...]] = {
    "extractor": (ImportReceived,),
    "router": (MembersFound,),
    "archiver": (MembersRouted, ImportStaged, CommandReceived),
    "catalog": (SessionChanged, ImportFinished, CommandReceived),
}
"""Which service consumes what, each from a queue of its own."""

POLICIES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "scandock-work": (
        r"^scandock\.(extractor|router|archiver|catalog)\.[a-z-]+\.[a-z-]+$",
        {
            "delivery-limit": 20,
            "dead-letter-exchange": DEAD,
            "dead-letter-strategy": "at-least-once",
            "overflow": "reject-publish",
            "max-length": 1_000_000,
        },
    ),
}
"""Name -> pattern and definition; what operators may tune. The delivery limit only catches crash loops."""


def queue_name(service: str, message: type[Message]) -> str:
    """`scandock.{service}.{message}`, without the contract's version: a queue outlives it."""
    return f"scandock.{service}.{message.TYPE.rsplit('.', 1)[0]}"


def retry_queue_name(queue: str, attempt: int) -> str:
    """Where a message waits after failed attempt number `attempt` (from 1)."""
    return f"{queue}.retry.{RETRY_SECONDS[min(attempt, len(RETRY_SECONDS)) - 1]}s"


async def declare_topology(amqp_url: str) -> None:
    """Make everything that is missing. Raises aio_pika's errors where the broker has it otherwise, or is away."""
    connection = await aio_pika.connect(amqp_url, timeout=10)
    async with connection:
        channel = await connection.channel()
        work = await channel.declare_exchange(WORK, ExchangeType.TOPIC, durable=True)
        events = await channel.declare_exchange(EVENTS, ExchangeType.TOPIC, durable=True)
        dead = await channel.declare_exchange(DEAD, ExchangeType.TOPIC, durable=True)
        parked = await channel.declare_queue(PARKED, durable=True, arguments={"x-queue-type": "quorum"})
        await parked.bind(dead, "#")
        log = await channel.declare_queue(
            EVENT_LOG, durable=True, arguments={"x-queue-type": "stream", "x-max-age": "14D"}
        )
        await log.bind(events, "#")
        for service, messages in CONSUMERS.items():
            for message in messages:
                queue = await channel.declare_queue(
                    queue_name(service, message), durable=True, arguments={"x-queue-type": "quorum"}
                )
                await queue.bind(work, message.TYPE)
                await _declare_retries(channel, queue.name)


async def _declare_retries(channel: AbstractChannel, queue: str) -> None:
    for attempt, seconds in enumerate(RETRY_SECONDS, start=1):
        await channel.declare_queue(
            retry_queue_name(queue, attempt),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-message-ttl": seconds * 1000,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": queue,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )


@dataclass(frozen=True)
class Management:
    """RabbitMQ's management API, over which policies are set."""

    url: str
    user: str
    password: str
    vhost: str

    @classmethod
    def of(cls, management_url: str, amqp_url: str) -> "Management":
        """The API at `management_url` for the user and the virtual host of `amqp_url`."""
        parts = urllib.parse.urlsplit(amqp_url)
        vhost = urllib.parse.unquote(parts.path.removeprefix("/")) or "/"
        return cls(
            management_url.rstrip("/"),
            urllib.parse.unquote(parts.username or ""),
            urllib.parse.unquote(parts.password or ""),
            vhost,
        )


async def apply_policies(management: Management) -> None:
    """Set the policies of `POLICIES`. Safe to repeat; raises OSError while the API is away."""
    for name, (pattern, definition) in POLICIES.items():
        body = {"pattern": pattern, "definition": definition, "apply-to": "queues", "priority": 1}
        await asyncio.to_thread(_put_policy, management, name, body)


def _put_policy(management: Management, name: str, body: Mapping[str, object]) -> None:
    vhost = urllib.parse.quote(management.vhost, safe="")
    credentials = base64.b64encode(f"{management.user}:{management.password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - the operator's own setting
        f"{management.url}/api/policies/{vhost}/{name}",
        data=json.dumps(body).encode(),
        method="PUT",
        headers={"Content-Type": "application/json", "Authorization": f"Basic {credentials}"},
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass

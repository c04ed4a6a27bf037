"""What goes around a body on the wire: AMQP properties and headers."""

import json
import time

import aio_pika
from aio_pika import DeliveryMode

from libs.common.messages import Event, Message


def message_envelope(message: Message, service: str) -> aio_pika.Message:
    """A private message: the contract as the body, everything else in properties; persistent."""
    return aio_pika.Message(
        message.model_dump_json().encode(),
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(message.message_id),
        correlation_id=str(message.work_id),
        timestamp=time.time(),
        type=message.TYPE,
        app_id=f"scandock.{service}",
    )


def event_envelope(event: Event) -> aio_pika.Message:
    """Structured mode, with the attributes repeated as headers (CloudEvents AMQP binding §3.2.3)."""
    attributes = event.model_dump(mode="json", exclude={"data"})
    return aio_pika.Message(
        json.dumps(event.model_dump(mode="json")).encode(),
        content_type="application/cloudevents+json; charset=utf-8",
        headers={f"cloudEvents_{name}": value for name, value in attributes.items()},
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(event.id),
        correlation_id=event.correlationid,
        timestamp=event.time,
        type=event.type,
        app_id="scandock",
    )

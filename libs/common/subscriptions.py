"""What a service consumes: one queue, its contract, and what to do with a message (see `broker.py`)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.common.errors import ScandockError
from libs.common.messages import Message, Output


class Tell(Protocol):
    """How a message is published."""

    async def __call__(self, *outputs: Output) -> None:
        """Publish, confirmed. Raises `Retryable`."""


class End(Protocol):
    """How a consumer ends the import or command of its message: `rejected` is the sender's, `failed` ours."""

    async def __call__(self, work_id: UUID, outcome: str, error: ScandockError) -> Sequence[Output]:
        """Write the outcome and return what to tell. Safe to repeat."""


@dataclass(frozen=True)
class Subscription:
    """One queue, its contract and what to do with a message."""

    queue: str
    message: type[Message]
    handler: Callable[..., Awaitable[Sequence[Output]]]
    end: End
    concurrency: int

"""Which members travel together (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.extractor.members import Found

BATCH_MEMBERS = 500
BATCH_BYTES = 64 << 20
"""Decoded. A larger member is a batch of its own."""


@dataclass(slots=True)
class Batch:
    """How much a batch holds."""

    member_count: int = 0
    size_bytes: int = 0

    def has_room(self, size_bytes: int) -> bool:
        """Whether one more member of `size_bytes` may travel along."""
        return self.member_count < BATCH_MEMBERS and self.size_bytes + size_bytes <= BATCH_BYTES


@dataclass(frozen=True, slots=True)
class Plan:
    """All batches of an upload, and the number of each member's batch; None for one that is skipped."""

    batches: list[Batch]
    numbers: list[int | None]


def plan_batches(members: Sequence[Found]) -> Plan:
    """Split `members` in their order; the same members are always split alike."""
    plan = Plan([], [])
    for member in members:
        if member.skipped:
            plan.numbers.append(None)
            continue
        if not plan.batches or not plan.batches[-1].has_room(member.size_bytes):
            plan.batches.append(Batch())
        batch = plan.batches[-1]
        batch.member_count += 1
        batch.size_bytes += member.size_bytes
        plan.numbers.append(len(plan.batches) - 1)
    return plan

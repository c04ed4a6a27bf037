from dataclasses import replace

from libs.common.facts import Encoding
from services.extractor.batches import BATCH_BYTES, BATCH_MEMBERS, plan_batches
from services.extractor.members import Found

MEMBER = Found(0, "p", "k", 0, 1, 1, Encoding.PLAIN)


def sized(*sizes: int) -> list[Found]:
    return [replace(MEMBER, size_bytes=size) for size in sizes]


def test_a_batch_has_at_most_500_members() -> None:
    plan = plan_batches(sized(*[1] * (2 * BATCH_MEMBERS + 1)))
    assert [batch.member_count for batch in plan.batches] == [500, 500, 1]
    assert plan.numbers == [0] * 500 + [1] * 500 + [2]


def test_a_batch_has_at_most_64_mib_but_a_larger_member_is_one_of_its_own() -> None:
    plan = plan_batches(sized(BATCH_BYTES - 1, 1, 1, BATCH_BYTES + 1, 1))
    assert plan.numbers == [0, 0, 1, 2, 3]
    assert [batch.size_bytes for batch in plan.batches] == [BATCH_BYTES, 1, BATCH_BYTES + 1, 1]


def test_skipped_members_are_in_no_batch() -> None:
    members = [replace(MEMBER, skipped="empty"), MEMBER, replace(MEMBER, skipped="empty")]
    assert plan_batches(members).numbers == [None, 0, None]
    assert not plan_batches(members[:1]).batches

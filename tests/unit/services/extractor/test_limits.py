import pytest

from libs.common.errors import UserError
from services.extractor.limits import Budget, Limits

LIMITS = Limits(size_bytes=1000, members=3, ratio=10, ratio_floor_bytes=500, depth=2)


@pytest.mark.parametrize(
    ("upload_bytes", "size_bytes", "members", "code"),
    [
        (100, 1000, 3, None),
        (100, 1001, 0, "limit-size"),
        (100, 0, 4, "limit-count"),
        (1, 500, 0, None),
        (1, 501, 0, "limit-ratio"),
        (60, 600, 0, None),
        (60, 601, 0, "limit-ratio"),
    ],
)
def test_what_is_spent_adds_up_to_a_limit(upload_bytes: int, size_bytes: int, members: int, code: str | None) -> None:
    budget = Budget(LIMITS, upload_bytes)
    budget.spend(size_bytes // 2)
    rest = size_bytes - size_bytes // 2
    if code is None:
        budget.spend(rest, members)
        return
    with pytest.raises(UserError) as refused:
        budget.spend(rest, members)
    assert refused.value.code == code


def test_archives_may_be_nested_as_deep_as_the_limit() -> None:
    budget = Budget(LIMITS, 1)
    budget.enter(2)
    with pytest.raises(UserError) as refused:
        budget.enter(3)
    assert refused.value.code == "limit-depth"

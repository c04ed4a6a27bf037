import pytest

from libs.common.access import Action, Role, User, may

OWNER, MEMBER, COLLABORATOR = (User("u", roles={"P": role}) for role in Role)
STRANGER, ADMIN = User("s"), User("a", admin=True)


@pytest.mark.parametrize(
    ("user", "actions"),
    [
        (ADMIN, {Action.READ, Action.EDIT, Action.ADMINISTER}),
        (OWNER, {Action.READ, Action.EDIT, Action.ADMINISTER}),
        (MEMBER, {Action.READ, Action.EDIT}),
        (COLLABORATOR, {Action.READ}),
        (STRANGER, set()),
    ],
)
def test_a_role_decides_in_a_private_project(user: User, actions: set[Action]) -> None:
    assert {action for action in Action if may(user, action, "P")} == actions


def test_a_role_counts_in_its_own_project_only() -> None:
    assert not may(OWNER, Action.READ, "Q")


def test_anyone_reads_a_public_project_and_no_more() -> None:
    assert {action for action in Action if may(STRANGER, action, "P", "public")} == {Action.READ}
    assert not may(STRANGER, Action.READ, "P", "protected")

"""`scandock user` and `scandock project`."""

import pytest
from typer.testing import CliRunner

from libs.cli.main import app
from libs.common.database import upgrade
from tests.servers import Servers, unique_name


@pytest.fixture
def run(servers: Servers, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    name = unique_name()
    servers.create_database(name)
    url = servers.environment(name)["DATABASE_URL"]
    upgrade(url)
    monkeypatch.setenv("DATABASE_URL", url)

    def invoke(*words: str, typed: str = "") -> tuple[int, str]:
        result = CliRunner().invoke(app, words, input=typed)
        return result.exit_code, result.output

    return invoke


def test_users_are_made_listed_and_kept_out(run) -> None:  # type: ignore[no-untyped-def]
    assert run("user", "add", "ann", "--email", "a@b.c", typed="a password\n")[0] == 0
    assert run("user", "add", "root", "--admin", typed="a password\n")[0] == 0
    code, text = run("user", "add", "ann", typed="a password\n")
    assert (code, "already" in text) == (1, True)
    assert run("user", "add", "eve", typed="short\n")[0] == 1
    assert run("user", "disable", "root")[0] == 0
    assert run("user", "list")[1].splitlines() == ["ann\tenabled\tuser\ta@b.c", "root\tdisabled\tadmin\t"]
    assert run("user", "enable", "root")[0] == 0
    assert run("user", "password", "ann", typed="another one\n")[0] == 0
    assert run("user", "password", "nobody", typed="another one\n")[0] == 1


def test_projects_and_their_members(run) -> None:  # type: ignore[no-untyped-def]
    assert run("user", "add", "ann", typed="a password\n")[0] == 0
    assert run("project", "add", "P", "--owner", "ann")[0] == 0
    assert run("project", "add", "not a project")[0] == 2
    for role in ("member", "collaborator", "none"):
        assert run("project", "member", "P", "ann", "--role", role)[0] == 0
    assert run("project", "member", "P", "ann", "--role", "friend")[0] == 2
    assert run("project", "member", "P", "nobody")[0] == 1
    assert run("project", "member", "Q", "ann")[0] == 1

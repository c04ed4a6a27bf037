"""Telling whether the services' code has changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.sources import digest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("services/router/rules.py", "libs/common/names.py", "requirements.lock", "docs/flow.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


@pytest.mark.parametrize(
    "change",
    [
        write("services/router/rules.py", "other"),
        write("services/router/more.py", ""),
        write("requirements.lock", "other"),
        write("pyproject.toml", ""),
        lambda root: (root / "libs/common/names.py").unlink(),
        lambda root: (root / "libs/common/names.py").rename(root / "libs/common/labels.py"),
    ],
    ids=["edited", "added", "lock", "settings", "removed", "renamed"],
)
def test_a_change_of_what_runs_is_seen(root: Path, change: Callable[[Path], object]) -> None:
    before = digest(root)
    change(root)
    assert digest(root) != before


def test_what_does_not_run_is_not_looked_at(root: Path) -> None:
    before = digest(root)
    (root / "services/router/__pycache__").mkdir()
    (root / "services/router/__pycache__/rules.cpython-311.pyc").write_bytes(b"x")
    (root / "docs/flow.md").write_text("other")
    assert digest(root) == before

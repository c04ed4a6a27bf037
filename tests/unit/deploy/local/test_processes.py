"""Telling our processes from all others."""

import os
import secrets
import signal
import subprocess
from pathlib import Path

import pytest

from deploy.local.processes import MARK, from_pid_file, marked, wait_until_gone


@pytest.fixture
def instance() -> str:
    return secrets.token_hex(16)


def test_a_marked_process_is_ours_and_can_be_stopped(instance: str) -> None:
    with subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: instance}) as child:
        (ours,) = marked(instance)
        ours.send(signal.SIGKILL)

        assert ours.pid == child.pid
        assert wait_until_gone([ours], 5) == []


def test_a_pid_file_that_names_a_stranger_names_nothing(instance: str, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    file.write_text(str(os.getppid()))

    assert from_pid_file(file, instance) is None

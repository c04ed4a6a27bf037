"""The supervisor that keeps the programs of `make up` running: its configuration, its start, and questions to it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from xmlrpc.client import Fault, ServerProxy

from deploy.local.program import ROOT, Program
from deploy.local.settings import LOGS, VAR

# Relative, because a socket's path has at most 107 bytes: all callers stand in the checkout.
SOCKET = Path("var/supervisor.sock")
PID_FILE = VAR / "supervisord.pid"
CONFIG = VAR / "supervisord.conf"

SERVERS = "servers"
SERVICES = "services"

# Supervisor waits one second longer before each next retry of a program that dies within a second, and gives up after
# so many; nothing may end that way because a server was away for long.
RETRIES = 1_000_000
OPEN_FILES = 65_536


@dataclass(frozen=True)
class State:
    """What the supervisor says about a program."""

    name: str
    group: str
    state: str
    description: str
    pid: int

    @property
    def is_running(self) -> bool:
        """Whether it has been running for a second at least."""
        return self.state == "RUNNING"


def log_of(name: str) -> Path:
    """Where a program's output goes."""
    return LOGS / f"{name}.log"


def write_config(servers: Iterable[Program], services: Iterable[Program]) -> None:
    """Write supervisord.conf. Servers start with the supervisor, services when they are told to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    user = "user=root\n" if os.geteuid() == 0 else ""
    sections = [
        f"""\
[unix_http_server]
file={SOCKET}
chmod=0600

[supervisord]
{user}logfile={_escape(str(LOGS / "supervisord.log"))}
logfile_maxbytes=10MB
logfile_backups=3
pidfile={_escape(str(PID_FILE))}
umask=077
minfds={limit}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
""",
        *_group(SERVERS, 100, list(servers), autostart="true"),
        *_group(SERVICES, 200, list(services), autostart="false"),
    ]
    CONFIG.write_text("\n".join(sections))


def start(environment: Mapping[str, str]) -> None:
    """Start the supervisor in the background; its programs inherit `environment`.

    Raises:
        RuntimeError: it refused to start.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(CONFIG)]
    done = subprocess.run(
        command, env=dict(environment), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"supervisord did not start:\n{done.stdout}{done.stderr}")
    deadline = time.monotonic() + 15
    while not states():
        if time.monotonic() > deadline:
            raise RuntimeError(f"supervisord does not answer: see {LOGS / 'supervisord.log'}")
        time.sleep(0.1)


def states() -> list[State]:
    """All programs, or none when the supervisor is not running."""
    try:
        found = cast("list[dict[str, Any]]", _rpc().getAllProcessInfo())
    except (OSError, Fault):
        return []
    return [State(info["name"], info["group"], info["statename"], info["description"], info["pid"]) for info in found]


def start_group(group: str) -> None:
    """Start those programs of `group` that do not run; there are no servers when all are somebody else's."""
    if any(state.group == group for state in states()):
        _rpc().startProcessGroup(group, False)  # do not wait; XML-RPC has no keywords


def stop_group(group: str) -> None:
    """Tell the programs of `group` to stop."""
    _rpc().stopProcessGroup(group, False)


def running(group: str) -> list[State]:
    """Those programs of `group` that have a process, also one that is still stopping."""
    return [state for state in states() if state.group == group and state.pid]


def _rpc() -> Any:  # the methods of an XML-RPC proxy are dynamic
    from supervisor.xmlrpc import SupervisorTransport

    return ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{SOCKET}")).supervisor


def _group(name: str, priority: int, programs: list[Program], *, autostart: str) -> list[str]:
    if not programs:
        return []
    members = ",".join(program.name for program in programs)
    head = f"[group:{name}]\nprograms={members}\npriority={priority}\n"
    return [head, *(_section(program, autostart) for program in programs)]


def _section(program: Program, autostart: str) -> str:
    environment = ",".join(f'{key}="{_escape(value)}"' for key, value in program.environment.items())
    return f"""\
[program:{program.name}]
command={" ".join(_quote(word) for word in program.command)}
environment={environment}
directory={_escape(str(program.directory))}
autostart={autostart}
autorestart=true
startsecs=1
startretries={RETRIES}
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_seconds}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={_escape(str(log_of(program.name)))}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=5
"""


def _quote(word: str) -> str:
    escaped = _escape(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escape(text: str) -> str:
    return text.replace("%", "%%")

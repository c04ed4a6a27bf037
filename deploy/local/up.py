"""`make up`: start RabbitMQ, PostgreSQL, SeaweedFS and the five services, and return when an upload would work."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from deploy.local import down, ports, processes, settings, sources, supervisor
from deploy.local.program import ROOT, SERVICES, Program, service
from deploy.local.seaweedfs import Acknowledge
from deploy.local.settings import DEMO_PROJECT, LOCAL_ENV, LOGS, VAR, Settings

DEADLINE_SECONDS = 180
PROGRESS_SECONDS = 5
LOG_LINES = 15
LOCK = VAR / "lock"
SETUP_LOG = LOGS / "setup.log"


class UpError(Exception):
    """Scandock is not up; the text says why and what to do."""


def bring_up(current: Settings) -> None:
    """Start what does not run, and services of other code anew, and wait until the gateway is ready.

    Raises:
        UpError: a port is taken, or a program does not come up in time.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    found = sources.digest()
    if not supervisor.states():
        start_servers(current)
    elif supervisor.running(supervisor.SERVICES) and not sources.is_running(found):
        stop_services(deadline)
    supervisor.start_group(supervisor.SERVERS)
    set_up(current, deadline)
    supervisor.start_group(supervisor.SERVICES)
    sources.remember(found)
    wait("the services to be ready", lambda: is_complete(current), deadline)


def start_servers(current: Settings) -> None:
    """Prepare the local servers and start them under the supervisor.

    Raises:
        UpError: a port is taken. Nothing has been started then.
    """
    down.stop(current)  # what a crashed supervisor left behind would hold our ports
    taken = ports.in_use(current.listeners())
    if taken:
        lines = [f"port {each.port} is in use by another process: set {each.variable}" for each in taken]
        first = taken[0].variable
        raise UpError("\n".join([*lines, f"for example: make up {first}={current.ports[first] + 100}"]))
    current.save()
    current.write_local_env()
    servers: list[Program] = []
    for server in (current.broker, current.database, current.store):
        if server is not None:
            server.prepare()
            servers += server.programs()
    supervisor.write_config(servers, [service(name) for name in SERVICES])
    for variable in settings.EXISTING:
        if variable in current.existing:
            print(f"Using the existing server of {variable}.")
    print("Starting " + ", ".join([*(program.name for program in servers), "the services"]) + " ...", flush=True)
    supervisor.start(current.process_environment(os.environ))


def stop_services(deadline: float) -> None:
    """Stop the services: each finishes what it has in hand, or gives it back.

    Raises:
        UpError: one does not stop in time.
    """
    print("The code has changed: restarting the services ...", flush=True)
    supervisor.stop_group(supervisor.SERVICES)
    wait("the services to stop", lambda: not supervisor.running(supervisor.SERVICES), deadline)


def set_up(current: Settings, deadline: float) -> None:
    """Wait for the servers, then bring them to what the services need: `scandock setup` is safe to repeat.

    Raises:
        UpError: it failed or took too long.
    """
    if current.store and current.fsync:
        current.store.acknowledge(current.bucket, Acknowledge(current.fsync), deadline)
    command = [str(Path(sys.executable).parent / "scandock"), "setup"]
    with SETUP_LOG.open("wb") as log:
        process = subprocess.Popen(
            command,
            env=current.process_environment(os.environ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait("the servers and their setup", lambda: process.poll() is not None, deadline)
        finally:
            process.kill()
    if process.returncode != 0:
        raise UpError(f"scandock setup ended with {process.returncode}\n{report(SETUP_LOG)}")


def wait(what: str, is_done: Callable[[], bool], deadline: float) -> None:
    """Poll, and tell now and then what is not running.

    Raises:
        UpError: the deadline has passed.
    """
    tell_at = time.monotonic() + PROGRESS_SECONDS
    while not is_done():
        now = time.monotonic()
        if now > deadline:
            raise UpError(f"waited {DEADLINE_SECONDS} s for {what}\n{report()}")
        if now > tell_at:
            tell_at = now + PROGRESS_SECONDS
            print(f"  waiting for {what} ... {idle_programs()}", flush=True)
        time.sleep(0.2)


def is_complete(current: Settings) -> bool:
    """Whether every program runs and an upload would work."""
    states = supervisor.states()
    return bool(states) and all(state.is_running for state in states) and is_ready(current)


def is_ready(current: Settings) -> bool:
    """Whether the gateway says that an upload would work."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{current.url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def idle_programs() -> str:
    """The programs that do not run, with what the supervisor says of them."""
    waiting_for_setup = "STOPPED"
    idle = [state for state in supervisor.states() if not state.is_running and state.state != waiting_for_setup]
    return ", ".join(f"{state.name}: {state.state} {state.description}".strip() for state in idle)


def report(*more: Path) -> str:
    """What does not run or has just been restarted, each with the end of its log; the gateway's when all run."""
    states = supervisor.states()
    if not states:
        return f"the supervisor is not running: see {LOGS / 'supervisord.log'}"
    suspects = [state for state in states if state.state not in {"RUNNING", "STOPPED"}]
    names = [state.name for state in suspects] or ["gateway"]
    lines = [f"not running: {state.name} ({state.state} {state.description})" for state in suspects]
    for path in (*more, *(supervisor.log_of(name) for name in names)):
        if path.exists():
            lines += [f"--- {path.relative_to(ROOT)}", *path.read_text(errors="replace").splitlines()[-LOG_LINES:]]
    return "\n".join([*lines, "`make status` and `make logs` show more, `make down` stops all."])


def greeting(current: Settings) -> str:
    """What a person needs to begin."""
    url, user, password = current.url, settings.ADMIN, current.secrets.admin
    return f"""
Scandock is up at {url}
  user      {user}
  password  {password}
  settings  {LOCAL_ENV.relative_to(ROOT)}

Upload a zip of DICOM files to the project {DEMO_PROJECT}:
  curl -sS -u {user}:{password} -X POST -T session.zip -H 'Content-Type: application/zip' \\
    '{url}/data/services/import?dest=/archive/projects/{DEMO_PROJECT}&inbody=true'
"""


def told_settings() -> Settings:
    """The settings of this run, from what was saved and what the environment says.

    Raises:
        UpError: it runs already, with other ones.
        SettingsError: they are incomplete.
    """
    saved = settings.load() or settings.new()
    current = saved.told(os.environ)
    current.listeners()  # refuses impossible ports before anything is written
    is_up = processes.from_pid_file(supervisor.PID_FILE, saved.instance) is not None
    if is_up and current != saved:
        raise UpError(f"Scandock is up with other settings, at {saved.url}: run `make down` first")
    return current


def main() -> int:
    os.chdir(ROOT)
    os.umask(0o077)
    VAR.mkdir(exist_ok=True)
    LOGS.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            current = told_settings()
            if not (sources.is_running(sources.digest()) and is_complete(current)):
                bring_up(current)
        except (UpError, ports.PortError, settings.SettingsError, RuntimeError, TimeoutError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(greeting(current))
    return 0


if __name__ == "__main__":
    sys.exit(main())

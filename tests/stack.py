"""The five services as child processes on real servers."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.program import LOOPBACK, ROOT, SERVICES, service
from tests.servers import Child, Servers, StartError, free_ports, wait


@dataclass
class Stack:
    """The five services on their own part of the servers."""

    url: str
    user: str
    password: str
    env: Mapping[str, str]
    directory: Path
    services: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a service that is not running; it is up when `wait_until_ready` returns."""
        environment = {**os.environ, **self.env}
        self.services[name] = Child.started(service(name), self.directory, environment)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Stop a service, by default as a crash."""
        self.services[name].stop(how)

    def restart(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Stop a service and start it again."""
        self.kill(name, how)
        self.start(name)

    def wait_until_ready(self) -> None:
        """Return when the gateway says that an upload would work."""
        wait(self._readyz, list(self.services.values()))

    def logs(self) -> str:
        """The end of every service's log."""
        return "\n".join(child.log_tail() for child in self.services.values())

    def _readyz(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/readyz", timeout=5):
            pass


@contextlib.contextmanager
def running_stack(servers: Servers, directory: Path, name: str) -> Iterator[Stack]:
    """The five services on a virtual host, database and bucket `name`, set up and ready."""
    port = next(free_ports())
    password = secrets.token_hex(10)
    environment = {
        **servers.allot(name),
        "SCANDOCK_HOST": LOOPBACK,
        "SCANDOCK_PORT": str(port),
        "SCANDOCK_URL": f"http://{LOOPBACK}:{port}",
        "SCANDOCK_ADMIN_USER": "admin",
        "SCANDOCK_ADMIN_PASSWORD": password,
        "SCANDOCK_DEMO_PROJECT": "demo",
        "NO_PROXY": f"{LOOPBACK},localhost",
        "PYTHONUNBUFFERED": "1",
    }
    _set_up(environment)
    stack = Stack(environment["SCANDOCK_URL"], "admin", password, environment, directory)
    try:
        for each in SERVICES:
            stack.start(each)
        stack.wait_until_ready()
        yield stack
    finally:
        for child in stack.services.values():
            child.stop()


def _set_up(environment: Mapping[str, str]) -> None:
    command = [str(Path(sys.executable).parent / "scandock"), "setup"]
    everything = {**os.environ, **environment}
    done = subprocess.run(command, env=everything, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StartError(f"scandock setup ended with {done.returncode}:\n{done.stdout}{done.stderr}")

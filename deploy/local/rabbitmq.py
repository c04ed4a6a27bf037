"""RabbitMQ as the distribution packages it, run from a directory of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.program import LOOPBACK, Program

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # /usr/sbin has a wrapper that changes user and folder

# The write-ahead log of quorum queues may grow to this, and lies in memory too; RabbitMQ's own 512 MB suit a cluster.
WAL_BYTES = 64_000_000


@dataclass(frozen=True)
class RabbitMQ:
    """One node on loopback with one user, and its port mapper as a program of its own so that it ends with the node."""

    directory: Path
    port: int
    management_port: int
    distribution_port: int
    epmd_port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        """The AMQP URL of the default virtual host."""
        return f"amqp://{self.user}:{self.password}@{LOOPBACK}:{self.port}/"

    @property
    def management_url(self) -> str:
        """The HTTP API, without credentials."""
        return f"http://{LOOPBACK}:{self.management_port}"

    def prepare(self) -> None:
        """Write the configuration. The user is made at the first start instead of `guest`, which never exists."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._plugins.write_text("[rabbitmq_management].\n")
        self._config.touch(mode=0o600)
        self._config.write_text(
            f"""\
listeners.tcp.default = {LOOPBACK}:{self.port}
management.tcp.ip = {LOOPBACK}
management.tcp.port = {self.management_port}
default_user = {self.user}
default_pass = {self.password}
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
raft.wal_max_size_bytes = {WAL_BYTES}
"""
        )

    def programs(self) -> list[Program]:
        """The port mapper, and the node, which waits for it so as not to start one that outlives us."""
        epmd = ("epmd", "-port", str(self.epmd_port), "-address", LOOPBACK)
        wait_then_run = f'until epmd -port {self.epmd_port} -names >/dev/null 2>&1; do sleep 0.1; done; exec "$0"'
        return [
            Program("epmd", epmd, stop_seconds=5),
            Program("rabbitmq", ("sh", "-c", wait_then_run, str(SERVER)), self._environment(), stop_seconds=60),
        ]

    @property
    def _config(self) -> Path:
        return self.directory / "rabbitmq.conf"

    @property
    def _plugins(self) -> Path:
        return self.directory / "enabled_plugins"

    def _environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.directory),  # holds the Erlang cookie
            "RABBITMQ_NODENAME": "scandock@localhost",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CONFIG_FILE": str(self._config),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._plugins),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the node instead of waiting for it
        }

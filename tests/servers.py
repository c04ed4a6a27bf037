"""Real servers for the tests: RabbitMQ, PostgreSQL and SeaweedFS as child processes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import boto3
import psycopg
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from psycopg.sql import SQL, Identifier

from deploy.local.ports import is_free
from deploy.local.postgresql import PostgreSQL
from deploy.local.program import Program
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.seaweedfs import GRPC_OFFSET, VOLUMES, SeaweedFS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_SECONDS = 120
STOP_SECONDS = 30
DROP_SECONDS = 30
LOG_LINES = 40

# Below what Linux hands out for outgoing connections, so that nobody takes one between our look and the server's start;
# with room above for SeaweedFS's second ports.
FIRST_PORT, LAST_PORT = 12_000, 22_000


class StartError(Exception):
    """A server or service did not come up; the text holds the end of its log."""


@dataclass
class Child:
    """A running program with its log."""

    program: Program
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def started(cls, program: Program, directory: Path, environment: Mapping[str, str]) -> Child:
        """Start `program` in a process group of its own, its output appended to a file in `directory`."""
        log = directory / f"{program.name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                program.command,
                env={**environment, **program.environment},
                cwd=program.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(program, log, process)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Signal its whole group and wait until it has gone; SIGKILL when it does not."""
        for sent in (how, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sent)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
                return

    def log_tail(self) -> str:
        """The last lines it wrote."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"--- {self.log} (exit status {self.process.poll()})", *lines])


@dataclass(frozen=True)
class Servers:
    """Where the servers of this test run are, and how to get a part of them for oneself."""

    amqp_url: str
    amqp_management_url: str
    database_url: str
    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str

    def allot(self, name: str) -> dict[str, str]:
        """Make a virtual host, a database and a bucket `name` (3 or more of a-z, 0-9, -) and return the environment
        of a process that is to use them."""
        self.create_vhost(name)
        self.create_database(name)
        self.create_bucket(name)
        return self.environment(name)

    def environment(self, name: str) -> dict[str, str]:
        """The variables that point a process at the virtual host, database and bucket `name`."""
        return {
            "AMQP_URL": self.vhost_url(name),
            "RABBITMQ_MANAGEMENT_URL": self.amqp_management_url,
            "DATABASE_URL": _with_path(self.database_url, name),
            "S3_ENDPOINT_URL": self.s3_endpoint_url,
            "S3_BUCKET": name,
            "AWS_ACCESS_KEY_ID": self.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret_key,
            "AWS_REGION": "us-east-1",
        }

    def vhost_url(self, name: str) -> str:
        """The AMQP URL of the virtual host `name`."""
        return _with_path(self.amqp_url, name)

    def create_vhost(self, name: str) -> None:
        """Make a virtual host, where our user may do everything."""
        self._management("PUT", f"/api/vhosts/{quote(name, safe='')}")

    def create_database(self, name: str) -> None:
        """Make an empty database."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))

    def create_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        self._s3().create_bucket(Bucket=name)

    def release(self, name: str) -> None:
        """Remove what `allot` made, with all in it; SeaweedFS removes a bucket that is not empty."""
        self._management("DELETE", f"/api/vhosts/{quote(name, safe='')}")
        self._drop_database(name)
        self._s3().delete_bucket(Bucket=name)

    def _drop_database(self, name: str) -> None:
        """Again while an autovacuum worker is in it, which only a superuser may end."""
        deadline = time.monotonic() + DROP_SECONDS
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            while True:
                try:
                    connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
                except psycopg.errors.InsufficientPrivilege:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)
                else:
                    return

    def _s3(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.s3_endpoint_url,
            aws_access_key_id=self.s3_access_key,
            aws_secret_access_key=self.s3_secret_key,
            region_name="us-east-1",
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )

    def _management(self, method: str, path: str) -> None:
        account = urlsplit(self.amqp_url)
        manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
        manager.add_password(None, self.amqp_management_url, account.username or "", account.password or "", True)
        handlers = urllib.request.HTTPBasicAuthHandler(manager), urllib.request.ProxyHandler({})
        request = urllib.request.Request(self.amqp_management_url + path, method=method)
        with urllib.request.build_opener(*handlers).open(request, timeout=10):
            pass


Server = RabbitMQ | PostgreSQL | SeaweedFS
USER = "scandock"


@dataclass
class LocalServers:
    """The three servers in a directory of their own, with the durability of `make up` unless told otherwise."""

    broker: RabbitMQ
    database: PostgreSQL
    store: SeaweedFS
    children: dict[str, list[Child]] = field(default_factory=dict)

    @classmethod
    def in_directory(
        cls, directory: Path, database_options: tuple[str, ...] = (), volumes: int = VOLUMES
    ) -> LocalServers:
        """Servers on free ports that will keep their data in `directory`."""
        ports = free_ports()
        secret = secrets.token_hex(16)
        broker = RabbitMQ(
            directory / "rabbitmq",
            port=next(ports),
            management_port=next(ports),
            distribution_port=next(ports),
            epmd_port=next(ports),
            user=USER,
            password=secret,
        )
        database = PostgreSQL(directory / "postgres", next(ports), USER, secret, options=database_options)
        store = SeaweedFS(
            directory / "s3",
            port=next(ports),
            master_port=next(ports),
            volume_port=next(ports),
            filer_port=next(ports),
            access_key=USER,
            secret_key=secret,
            volumes=volumes,
        )
        return cls(broker, database, store)

    @property
    def located(self) -> Servers:
        """Where they are."""
        broker, store = self.broker, self.store
        return Servers(
            broker.url, broker.management_url, self.database.url, store.url, store.access_key, store.secret_key
        )

    def start(self, directory: Path) -> None:
        """Start all three at the same time, logs in `directory`, and wait until they work."""
        located = self.located
        probes: list[tuple[str, Server, Callable[[], None]]] = [
            ("rabbitmq", self.broker, lambda: located.create_vhost("ready")),
            ("postgres", self.database, lambda: located.create_database("ready")),
            ("weed", self.store, lambda: located.create_bucket("ready")),
        ]

        def start(name: str, server: Server, probe: Callable[[], None]) -> None:
            server.prepare()
            own = self.children.setdefault(name, [])
            for program in server.programs():
                own.append(Child.started(program, directory, os.environ))
            wait(probe, own)

        with ThreadPoolExecutor(len(probes)) as pool:
            list(pool.map(lambda probe: start(*probe), probes))

    def stop(self) -> None:
        """Stop whatever was started; their data are not needed any more."""
        for name, children in self.children.items():
            for child in children:
                child.stop(signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
        self.store.remove_sockets()


@contextlib.contextmanager
def running_servers(directory: Path) -> Iterator[Servers]:
    """RabbitMQ, PostgreSQL (without fsync) and SeaweedFS on free ports with their data in `directory`."""
    servers = LocalServers.in_directory(directory, database_options=("-F",), volumes=10_000)
    try:
        servers.start(directory)
        yield servers.located
    finally:
        servers.stop()


def unique_name() -> str:
    """A new name that a virtual host, a database and a bucket can have."""
    return f"test-{secrets.token_hex(6)}"


def free_ports() -> Iterator[int]:
    """Ports that nobody listens on, with their SeaweedFS companions, each given once."""
    span = LAST_PORT - FIRST_PORT
    start = secrets.randbelow(span)
    for step in range(span):
        port = FIRST_PORT + (start + step) % span
        if is_free(port) and is_free(port + GRPC_OFFSET):
            yield port
    raise StartError(f"no free port from {FIRST_PORT} to {LAST_PORT}")


def wait(probe: Callable[[], None], children: list[Child]) -> None:
    """Return when `probe` does not raise any more.

    Raises:
        StartError: a child has ended, or the time is over.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            probe()
        except (OSError, psycopg.Error, BotoCoreError, ClientError, json.JSONDecodeError) as error:
            ended = any(child.process.poll() is not None for child in children)
            if ended or time.monotonic() > deadline:
                raise StartError("\n".join([str(error), *(child.log_tail() for child in children)])) from error
            time.sleep(0.2)
        else:
            return


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))

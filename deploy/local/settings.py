"""What this checkout's machine is set to: ports, generated secrets, and servers of others. Kept in `var/`."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deploy.local.ports import BROKER, DATABASE, GATEWAY, STORE, Listener, chosen, listeners, resolve
from deploy.local.postgresql import PostgreSQL
from deploy.local.program import LOOPBACK, ROOT
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.seaweedfs import SeaweedFS

VAR = ROOT / "var"
LOGS = VAR / "log"
FILE = VAR / "settings.json"
LOCAL_ENV = VAR / "local.env"

USER = "scandock"
ADMIN = "admin"
DEFAULT_BUCKET = "scandock"
DEMO_PROJECT = "demo"

# Setting one of these uses that server instead of a local one; the others of its line go with it.
EXISTING = {
    "AMQP_URL": ("AMQP_URL", "RABBITMQ_MANAGEMENT_URL"),
    "DATABASE_URL": ("DATABASE_URL",),
    "S3_ENDPOINT_URL": ("S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class SettingsError(Exception):
    """A variable that is missing or makes no sense; the text names it."""


@dataclass(frozen=True)
class Secrets:
    """Generated once for a checkout; they stay with its data."""

    broker: str
    database: str
    s3_access_key: str
    s3_secret_key: str
    admin: str

    @classmethod
    def generated(cls) -> Secrets:
        """New ones."""
        return cls(*(secrets.token_hex(length) for length in (16, 16, 10, 20, 10)))


@dataclass(frozen=True)
class Settings:
    """All that `make up` was told or made up; the same run after run."""

    instance: str  # in the environment of every process that we start, so that we stop ours alone
    secrets: Secrets
    choices: Mapping[str, int]
    existing: Mapping[str, str]
    bucket: str = DEFAULT_BUCKET
    fsync: str = ""  # an Acknowledge; empty: as the store has it

    @property
    def ports(self) -> dict[str, int]:
        """Every port by its variable."""
        return resolve(self.choices)

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return f"http://{LOOPBACK}:{self.ports['PORT']}"

    @property
    def broker(self) -> RabbitMQ | None:
        """The local broker, unless another is used."""
        if "AMQP_URL" in self.existing:
            return None
        ports = self.ports
        return RabbitMQ(
            VAR / "rabbitmq",
            port=ports["AMQP_PORT"],
            management_port=ports["AMQP_HTTP_PORT"],
            distribution_port=ports["AMQP_DIST_PORT"],
            epmd_port=ports["EPMD_PORT"],
            user=USER,
            password=self.secrets.broker,
        )

    @property
    def database(self) -> PostgreSQL | None:
        """The local database server, unless another is used."""
        if "DATABASE_URL" in self.existing:
            return None
        return PostgreSQL(VAR / "postgres", self.ports["PG_PORT"], USER, self.secrets.database)

    @property
    def store(self) -> SeaweedFS | None:
        """The local S3 server, unless another is used."""
        if "S3_ENDPOINT_URL" in self.existing:
            return None
        ports = self.ports
        return SeaweedFS(
            VAR / "s3",
            port=ports["S3_PORT"],
            master_port=ports["S3_MASTER_PORT"],
            volume_port=ports["S3_VOLUME_PORT"],
            filer_port=ports["S3_FILER_PORT"],
            access_key=self.secrets.s3_access_key,
            secret_key=self.secrets.s3_secret_key,
        )

    def listeners(self) -> list[Listener]:
        """Every socket that will be listened on."""
        variables = list(GATEWAY)
        variables += BROKER if self.broker else ()
        variables += DATABASE if self.database else ()
        variables += STORE if self.store else ()
        return listeners(self.ports, variables)

    def client_environment(self) -> dict[str, str]:
        """The variables by which services, setup, tests and people find everything (`var/local.env`)."""
        found = {
            "SCANDOCK_URL": self.url,
            "SCANDOCK_USER": ADMIN,
            "SCANDOCK_PASSWORD": self.secrets.admin,
            "S3_BUCKET": self.bucket,
            "AWS_REGION": "us-east-1",
        }
        if broker := self.broker:
            found |= {"AMQP_URL": broker.url, "RABBITMQ_MANAGEMENT_URL": broker.management_url}
        if database := self.database:
            found["DATABASE_URL"] = database.url
        if store := self.store:
            found["S3_ENDPOINT_URL"] = store.url
            found["AWS_ACCESS_KEY_ID"] = self.secrets.s3_access_key
            found["AWS_SECRET_ACCESS_KEY"] = self.secrets.s3_secret_key
        return found | dict(self.existing)

    def process_environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """What the supervisor and all it starts run with."""
        foreign = ("RABBITMQ_", "ERL_", "PG", "PYTHON", "AWS_", "WEED_")
        kept = {name: value for name, value in inherited.items() if not name.startswith(foreign)}
        proxied = inherited.get("NO_PROXY") or inherited.get("no_proxy") or ""
        no_proxy = f"{proxied},{LOOPBACK},localhost".lstrip(",")
        ours = {
            "SCANDOCK_HOST": LOOPBACK,
            "SCANDOCK_PORT": str(self.ports["PORT"]),
            "SCANDOCK_ADMIN_USER": ADMIN,
            "SCANDOCK_ADMIN_PASSWORD": self.secrets.admin,
            "SCANDOCK_DEMO_PROJECT": DEMO_PROJECT,
            "SCANDOCK_INSTANCE": self.instance,
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "PYTHONUNBUFFERED": "1",
        }
        return kept | self.client_environment() | ours

    def told(self, environment: Mapping[str, str]) -> Settings:
        """These settings with what `environment` says now; what it does not mention stays.

        Raises:
            PortError, SettingsError: it says something impossible.
        """
        fsync = environment.get("S3_FSYNC", self.fsync)
        if fsync not in {"", "0", "1"}:
            raise SettingsError(f"S3_FSYNC={fsync} is neither 0 nor 1")
        return replace(
            self,
            choices=chosen(environment, self.choices),
            existing=self._existing(environment),
            bucket=environment.get("S3_BUCKET") or self.bucket,
            fsync=fsync,
        )

    def save(self) -> None:
        """Remember for the next run."""
        FILE.parent.mkdir(exist_ok=True)
        _write_private(FILE, json.dumps(asdict(self), indent=2) + "\n")

    def write_local_env(self) -> None:
        """Write `var/local.env`, which a shell can read."""
        _write_private(LOCAL_ENV, "".join(f"{key}={value}\n" for key, value in self.client_environment().items()))

    def _existing(self, environment: Mapping[str, str]) -> dict[str, str]:
        existing = dict(self.existing)
        for variable, group in EXISTING.items():
            if variable not in environment:
                continue
            for name in group:
                existing.pop(name, None)
            if self._is_ours(variable, environment):
                continue
            existing |= {name: environment[name] for name in group if environment.get(name)}
        for name in KEYS if "S3_ENDPOINT_URL" in existing else ():
            if name not in existing:
                raise SettingsError(f"S3_ENDPOINT_URL is set: set {name} too")
        return existing

    def _is_ours(self, variable: str, environment: Mapping[str, str]) -> bool:
        """Whether the variable is empty, or was read from our own `var/local.env`."""
        value = environment[variable]
        if variable == "S3_ENDPOINT_URL":
            return not value or environment.get("AWS_ACCESS_KEY_ID") == self.secrets.s3_access_key
        return not value or self.secrets.broker in value or self.secrets.database in value


def load() -> Settings | None:
    """What an earlier run saved."""
    if not FILE.exists():
        return None
    saved = json.loads(FILE.read_text())
    return Settings(**{**saved, "secrets": Secrets(**saved["secrets"])})


def new() -> Settings:
    """Settings of a checkout that never ran."""
    return Settings(instance=secrets.token_hex(16), secrets=Secrets.generated(), choices={}, existing={})


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)

"""PostgreSQL as the distribution packages it, run from a directory of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.program import LOOPBACK, Program

PACKAGED = Path("/usr/lib/postgresql")
OWNER = "postgres"  # the package makes this user; PostgreSQL refuses to run as root

# As root we hand the data directory over as an open descriptor: OWNER then needs no right to pass through the folders
# above it, so a checkout in /root works.
AS_OWNER = f'exec 3<"$0" && cd / && exec setpriv --reuid={OWNER} --regid={OWNER} --clear-groups "$@"'
INHERITED = "/proc/self/fd/3"


def newest_binaries() -> Path | None:
    """The `bin` of the newest installed server, if there is one."""
    found = [path.parent for path in PACKAGED.glob("*/bin/postgres")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@dataclass(frozen=True)
class PostgreSQL:
    """One cluster with one database and its owner, who logs in by SCRAM on loopback; nobody else can log in."""

    directory: Path
    port: int
    user: str
    password: str
    database: str = "scandock"
    options: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The database's URL, as the services take it."""
        return f"postgresql://{self.user}:{self.password}@{LOOPBACK}:{self.port}/{self.database}"

    @property
    def data(self) -> Path:
        """The cluster's data directory."""
        return self.directory / "data"

    def prepare(self) -> None:
        """Make the cluster, if there is none; a half-made one from an interrupted run is made anew."""
        if self.data.exists():
            return
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(fresh, OWNER, OWNER)
        initialise = self._command(fresh, "initdb", "-U", OWNER, "-E", "UTF8", "--locale=C.UTF-8", "-A", "reject")
        _run(initialise)
        (fresh / "pg_hba.conf").write_text(f"host all all {LOOPBACK}/32 scram-sha-256\n")
        _run(self._command(fresh, "postgres", first="--single"), self._first_statements())
        fresh.rename(self.data)

    def programs(self) -> list[Program]:
        """The server; SIGINT is its fast shutdown."""
        settings = (
            f"listen_addresses={LOOPBACK}",
            f"port={self.port}",
            "unix_socket_directories=",
            "max_connections=200",
        )
        flags = [flag for setting in settings for flag in ("-c", setting)]
        command = self._command(self.data, "postgres", *flags, *self.options)
        return [Program("postgres", command, stop_signal="INT", stop_seconds=60)]

    def _first_statements(self) -> str:
        return (
            f"CREATE ROLE {self.user} LOGIN CREATEDB PASSWORD '{self.password}';\n"
            f"CREATE DATABASE {self.database} OWNER {self.user};\n"
        )

    def _command(self, data: Path, program: str, *arguments: str, first: str | None = None) -> tuple[str, ...]:
        is_root = os.geteuid() == 0
        reached = INHERITED if is_root else str(data)
        leading = [first, "-c", "exit_on_error=true"] if first else []
        trailing = ["template1"] if first else []
        command = [str(self._binaries() / program), *leading, "-D", reached, *arguments, *trailing]
        return ("sh", "-c", AS_OWNER, str(data), *command) if is_root else tuple(command)

    def _binaries(self) -> Path:
        version = self.data / "PG_VERSION"
        if version.exists():
            return PACKAGED / version.read_text().strip() / "bin"
        found = newest_binaries()
        if found is None:
            raise FileNotFoundError(f"no PostgreSQL server under {PACKAGED}")
        return found


def _run(command: tuple[str, ...], stdin: str = "") -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")

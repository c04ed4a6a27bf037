"""Scandock itself: its five services on RabbitMQ, PostgreSQL and SeaweedFS set as `make up` sets them, all fresh."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from deploy.local.seaweedfs import Acknowledge
from tests.bench.client import Client, MeasurementError
from tests.bench.instances import Study
from tests.bench.measurement import Measured, Upload, measured
from tests.servers import LocalServers
from tests.stack import Stack, running_stack

NAME = "bench"  # of the virtual host, the database, the bucket and the project
SETUP_SECONDS = 60
PROJECT = f"/data/projects/{NAME}"
IMPORT = f"/data/services/import?import-handler=SI&dest=/archive/projects/{NAME}&inbody=true"


def measure(upload: Upload, directory: Path, acknowledge: Acknowledge) -> Measured:
    """Start everything in `directory`, send the upload, check over HTTP what is archived, and stop everything.

    Raises:
        MeasurementError: the upload was refused, or other than its files can be read back.
    """
    with _running(directory, acknowledge) as (servers, stack):
        client = Client.with_password(stack.url, stack.user, stack.password)
        answer = client.send("PUT", PROJECT)
        if answer.status not in {200, 201}:
            raise MeasurementError(f"PUT {PROJECT} answered {answer.status}: {answer.body[:500]!r}")
        programs = {name: [child.process.pid] for name, child in stack.services.items()}
        programs |= {name: [child.process.pid for child in children] for name, children in servers.children.items()}
        try:
            answer, result = measured(upload, lambda: client.send("POST", IMPORT, upload.body), programs)
            _verify(client, answer.body.decode().split(), upload.study)
        except MeasurementError as error:
            raise MeasurementError(f"{error}\n{stack.logs()}") from error
        return replace(result, facts=_facts(servers, acknowledge))


@contextlib.contextmanager
def _running(directory: Path, acknowledge: Acknowledge) -> Iterator[tuple[LocalServers, Stack]]:
    servers = LocalServers.in_directory(directory)  # durable as `make up` has them
    try:
        servers.start(directory)
        if acknowledge is not Acknowledge.WRITTEN:  # which is how it starts
            servers.store.acknowledge(NAME, acknowledge, time.monotonic() + SETUP_SECONDS)
        with running_stack(servers.located, directory, NAME) as stack:
            yield servers, stack
    finally:
        servers.stop()


def _verify(client: Client, uris: list[str], study: Study) -> None:
    """Compare the sessions that the answer names with what was sent.

    Raises:
        MeasurementError: they differ.
    """
    if len(uris) != 1 or "/prearchive/" in uris[0]:
        raise MeasurementError(f"one study was sent to the archive, the answer names {uris}")
    scans = _rows(client, f"{uris[0]}/scans")
    files = [len(_rows(client, f"{uris[0]}/scans/{scan['ID']}/resources/DICOM/files")) for scan in scans]
    if sorted(files) != [study.files_per_series] * study.series:
        raise MeasurementError(f"sent: {study.series} series of {study.files_per_series} files; archived: {files}")


def _rows(client: Client, path: str) -> list[dict[str, str]]:
    text = client.get(f"{path}?format=json")
    try:
        rows: list[dict[str, str]] = json.loads(text)["ResultSet"]["Result"]
    except (ValueError, KeyError) as error:
        raise MeasurementError(f"GET {path} answered no table: {text[:500]!r}") from error
    return rows


def _facts(servers: LocalServers, acknowledge: Acknowledge) -> dict[str, str]:
    """Versions and durability, from the servers themselves where they tell."""
    account = urlsplit(servers.broker.url)
    management = Client.with_password(servers.broker.management_url, account.username or "", account.password or "")
    overview = json.loads(management.get("/api/overview"))
    weed = _output(str(Path(sys.executable).parent / "weed"), "version")
    queues = sorted({queue["type"] for queue in json.loads(management.get(f"/api/queues/{NAME}"))})
    names = ("server_version", "fsync", "synchronous_commit")
    with psycopg.connect(servers.database.url) as connection:
        rows = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(names)])
        shown: dict[str, str] = dict(rows.fetchall())
    return {
        "rabbitmq": f"{overview['rabbitmq_version']}, queues: {', '.join(queues)}",
        "postgres": ", ".join(f"{name} {shown[name]}" for name in names),
        "weed": f"{weed}, acknowledges when {acknowledge.name.lower()} (S3_FSYNC={acknowledge.value})",
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
